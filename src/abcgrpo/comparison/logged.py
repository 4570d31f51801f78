"""Arms compared by what was logged while they trained, such as the entropy: ratios to the baseline, paired by seed.

A logged metric has no questions to be measured on, so seeds alone make the spread. Entropies are positive and differ by
factors, so what is averaged is the logarithm of their ratio.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np
from scipy import stats

from abcgrpo.comparison.compare import FEWEST_SEEDS
from abcgrpo.comparison.power import LEVEL
from abcgrpo.comparison.significance import holm, sign_flip_p_value
from abcgrpo.evaluation.intervals import CONFIDENCE

FINAL_SHARE = 0.1
"""The end of a run is the last tenth of its logged steps: one step alone is the entropy of one mini-batch."""

Ended = Mapping[str, Mapping[int, float]]
"""By arm, then by training seed: the metric at the end of the run, positive."""

LOGGED_RULE = (
    "The entropy at the end of a run is its mean over the last tenth of the logged steps. Arms are compared by the "
    "geometric mean over seeds of the ratio to the baseline of the same seed, with Student's 95% interval of its "
    "logarithm. An arm ends higher or lower if the sign-flip p over seeds, corrected by Holm's method over all "
    "these comparisons, is at most 5%."
)


@dataclass(frozen=True)
class RatioAtEnd:
    """One arm over the baseline, by one logged metric at the end of training."""

    setting: str | None
    """The condition, where an experiment has them."""
    arm: str
    baseline: str
    ratio: float
    """exp of the mean over seeds of log(arm / baseline)."""
    low: float | None
    high: float | None
    """The 95% interval; both None with fewer than three seeds."""
    p_value: float | None
    p_value_holm: float | None
    seeds: int
    """Pairs of runs with the same training seed."""
    verdict: Literal["higher", "lower", "inconclusive"] = "inconclusive"

    def to_dict(self) -> dict[str, Any]:
        """As `report.json` has it."""
        return asdict(self)


def at_end(series: Mapping[int, float]) -> float:
    """The mean over the last tenth of the logged steps, of one step at least.

    Args:
        series: the metric by step, not empty.
    """
    last = sorted(series)[-max(1, round(len(series) * FINAL_SHARE)) :]
    return float(np.mean([series[step] for step in last]))


def compare_at_end(settings: Mapping[str | None, Ended], arms: Sequence[str]) -> list[RatioAtEnd]:
    """Every arm but the first over the first, in every setting; one family for Holm's correction.

    Runs are paired by training seed. Values that are not positive have no ratio and count as missing.

    Args:
        settings: the runs, by condition.
        arms: the baseline first.
    """
    baseline, *others = arms
    family = list(product(settings, others))
    found = [_ratio(setting, arm, baseline, settings[setting]) for setting, arm in family]
    corrected = holm([each.p_value if each else None for each in found])
    return [
        replace(each, p_value_holm=p_value, verdict=_verdict(each.ratio, p_value))
        for each, p_value in zip(found, corrected, strict=True)
        if each
    ]


def _ratio(setting: str | None, arm: str, baseline: str, runs: Ended) -> RatioAtEnd | None:
    above, below = runs.get(arm, {}), runs.get(baseline, {})
    pairs = [(above[seed], below[seed]) for seed in sorted(above.keys() & below.keys())]
    logs = np.array([np.log(one / other) for one, other in pairs if one > 0 and other > 0])
    if not len(logs):
        return None
    mean, low, high, p_value = float(logs.mean()), None, None, None
    if len(logs) >= FEWEST_SEEDS:
        half = stats.t.ppf((1 + CONFIDENCE) / 2, len(logs) - 1) * stats.sem(logs)
        low, high = float(np.exp(mean - half)), float(np.exp(mean + half))
        p_value = sign_flip_p_value(logs)
    return RatioAtEnd(setting, arm, baseline, float(np.exp(mean)), low, high, p_value, None, len(logs))


def _verdict(ratio: float, p_value: float | None) -> Literal["higher", "lower", "inconclusive"]:
    if p_value is None or p_value > LEVEL:
        return "inconclusive"
    return "higher" if ratio > 1 else "lower"
