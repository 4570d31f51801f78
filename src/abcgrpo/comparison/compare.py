"""All comparisons of arms with the baseline, the family they are corrected over, and the verdicts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np

from abcgrpo.comparison.interval import Spread, over_seeds_and_questions
from abcgrpo.comparison.power import LEVEL, detectable_effect, fewest_seeds
from abcgrpo.comparison.significance import holm, probability_of_improvement, sign_flip_p_value, smallest_p_value
from abcgrpo.evaluation.intervals import of_differences
from abcgrpo.evaluation.store import Evaluation

Verdict = Literal["better", "worse", "inconclusive"]
Runs = Mapping[str, Mapping[int, Evaluation]]
"""By arm, then by training seed: each run's evaluation at the step that was fixed beforehand."""
Metric = Callable[[Evaluation], np.ndarray]
"""Each question's value; higher is better."""

FEWEST_SEEDS = 3
"""Below, the spread of seeds is not estimated: two say next to nothing about it."""
COVERS_ALL = "seeds, questions and samples"
COVERS_EVALUATION = "evaluation noise only"

RULE = (
    "An arm is better (or worse) than the baseline where its corrected p-value is at most 5%; else it is inconclusive. "
    "What is corrected, by Holm's method over the family, is the larger of two p-values: that of the signs of the "
    "seeds' differences, and that of the interval over seeds and questions. So a verdict needs seeds that agree and an "
    "interval that excludes 0, and both have to stand up to the number of comparisons."
)


@dataclass(frozen=True)
class Comparison:
    """One arm minus the baseline, on one benchmark, by one metric; shares of 1, None where there is none."""

    benchmark: str
    arm: str
    baseline: str
    metric: str
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    """Two-sided sign-flip p over seeds; None with fewer than three."""
    p_value_holm: float | None
    """The larger of `p_value` and the interval's own p, corrected over the family; None outside it."""
    probability_of_improvement: float | None
    """A run of the arm is above a run of the baseline, over all pairs of runs; None with fewer than three seeds."""
    detectable_effect: float | None
    """The true difference that the rule would have seen in 80% of such experiments; None where none could be seen."""
    seeds: int
    """Pairs of runs with the same training seed."""
    covers: str
    """What the interval covers."""
    in_family: bool
    """Whether it is one of the comparisons fixed beforehand, by a primary metric; others get no verdict."""
    verdict: Verdict = "inconclusive"

    @property
    def sentence(self) -> str:
        """The comparison in words."""
        seeds = "one seed" if self.seeds == 1 else f"{self.seeds} seeds"
        start = f"{self.arm} against {self.baseline} on {self.benchmark}, {seeds}: {self._figures}"
        if self.p_value is None:
            return f"{start}, evaluation noise only: inconclusive about the rules."
        if self.p_value_holm is None:
            return f"{start}, p {self.p_value:.2g}: outside the family fixed beforehand, so no verdict."
        return f"{start}, Holm p {self.p_value_holm:.2g}: {self.verdict}."

    @property
    def _figures(self) -> str:
        name = f"{self.metric[0].upper()}{self.metric[1:]}"
        interval = "" if self.low is None else f" [{_points(self.low)}, {_points(self.high)}]"
        return f"{name} {_points(self.difference)} points{interval}"

    def to_dict(self) -> dict[str, Any]:
        """As `report.json` has it."""
        return asdict(self) | {"sentence": self.sentence}


def compare(
    benchmarks: Mapping[str, Runs], arms: Sequence[str], metrics: Mapping[str, Metric], primary: Sequence[str]
) -> list[Comparison]:
    """Every arm but the first against the first, on every benchmark by every metric, with verdicts on the primary ones.

    Runs are paired by training seed; a seed that one of the two lacks is left out. The family of Holm's correction is
    benchmarks × arms × primary metrics as planned: an arm that could not be measured keeps its place in it.

    Args:
        benchmarks: the runs, by benchmark.
        arms: as planned, the baseline first.
        metrics: by name; the same for every run.
        primary: those among them that verdicts are given on.
    """
    baseline, *others = arms
    family_size = len(benchmarks) * len(others) * len(primary)
    found: dict[tuple[str, str, str], Comparison] = {}
    p_values: dict[tuple[str, str, str], float] = {}
    for benchmark, arm, metric in product(benchmarks, others, metrics):
        pairs = paired(benchmarks[benchmark], arm, baseline)
        if pairs:
            of_arm, of_baseline = (
                np.array([metrics[metric](each) for each in side]) for side in zip(*pairs, strict=True)
            )
            sides, size = (benchmark, arm, baseline, metric), family_size if metric in primary else None
            measured = found[benchmark, arm, metric] = _measured(sides, of_arm, of_baseline, size)
            if measured.p_value is not None:
                spread = Spread.of(of_arm - of_baseline)
                p_values[benchmark, arm, metric] = max(measured.p_value, float(spread.p_value(measured.difference)))
    family = list(product(benchmarks, others, primary))
    corrected = holm([p_values.get(key) for key in family])
    for key, p_value in zip(family, corrected, strict=True):
        if p_value is not None:
            found[key] = replace(found[key], p_value_holm=p_value, verdict=_verdict(found[key].difference, p_value))
    return list(found.values())


def paired(runs: Runs, arm: str, baseline: str) -> list[tuple[Evaluation, Evaluation]]:
    """Evaluations of arm and baseline with the same training seed on the same questions, by seed."""
    of_arm, of_baseline = runs.get(arm, {}), runs.get(baseline, {})
    pairs = [(of_arm[seed], of_baseline[seed]) for seed in sorted(of_arm.keys() & of_baseline.keys())]
    return [(one, other) for one, other in pairs if one.questions == other.questions == pairs[0][0].questions]


def limits(seeds: int, comparisons: int) -> str | None:
    """What so many seeds cannot show whatever happens, in a sentence; None where nothing stands in the way."""
    if seeds < FEWEST_SEEDS:
        return (
            f"{'One seed' if seeds == 1 else f'{seeds} seeds'} per arm: intervals cover evaluation noise only, and no "
            f"verdict on the rules is possible."
        )
    smallest = smallest_p_value(seeds)
    if smallest * comparisons <= LEVEL:
        return None
    corrected = f", {min(1.0, smallest * comparisons):.3g} after Holm's correction over {comparisons} comparisons"
    return (
        f"{seeds} seeds: the smallest p-value that can come out is {smallest:.3g}{corrected}. Every verdict is "
        f"inconclusive whatever the data; it takes {fewest_seeds(comparisons)} seeds for another."
    )


def _measured(
    sides: tuple[str, str, str, str], of_arm: np.ndarray, of_baseline: np.ndarray, family_size: int | None
) -> Comparison:
    """A comparison of values (seeds, questions) before correction; `family_size` is None outside the family."""
    differences = of_arm - of_baseline
    enough = len(differences) >= FEWEST_SEEDS and differences.shape[1] > 1
    interval = over_seeds_and_questions(differences) if enough else of_differences(differences.mean(axis=0))
    has_interval = not np.isnan(interval.low)
    detectable = better = None
    if enough:
        better = probability_of_improvement(of_arm.mean(axis=1), of_baseline.mean(axis=1))
    if enough and family_size is not None:
        detectable = detectable_effect(Spread.of(differences), family_size)
    return Comparison(
        *sides,
        difference=interval.value,
        low=interval.low if has_interval else None,
        high=interval.high if has_interval else None,
        p_value=sign_flip_p_value(differences.mean(axis=1)) if enough else None,
        p_value_holm=None,
        probability_of_improvement=better,
        detectable_effect=detectable,
        seeds=len(differences),
        covers=COVERS_ALL if enough else COVERS_EVALUATION,
        in_family=family_size is not None,
    )


def _verdict(difference: float, p_value_holm: float) -> Verdict:
    """See `RULE`."""
    if p_value_holm > LEVEL:
        return "inconclusive"
    return "better" if difference > 0 else "worse"


def _points(share: float | None) -> str:
    """A difference in percentage points, with its sign."""
    return "–" if share is None else f"{100 * share:+z.1f}".replace("-", "−")
