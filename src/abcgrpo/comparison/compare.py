"""All comparisons of arms with the baseline, the family they are corrected over, and the verdicts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any, Literal

import numpy as np

from abcgrpo.comparison.interval import Spread, over_seeds_and_questions
from abcgrpo.comparison.power import LEVEL, detectable_effect, fewest_seeds
from abcgrpo.comparison.significance import holm, probability_of_improvement, sign_flip_p_value, smallest_p_value
from abcgrpo.evaluation.clusters import are_used
from abcgrpo.evaluation.intervals import of_differences, unseen_variance

Conclusion = Literal["better", "worse", "inconclusive"]


@dataclass(frozen=True)
class Scores:
    """What one run scored on one benchmark."""

    questions: Sequence[str]
    """Their names, in the order of the values."""
    values: Mapping[str, np.ndarray]
    """By metric, the same for every run: (questions,), each 0 … 1, higher is better."""
    clusters: Sequence[str] | None = None
    """(questions,), see `abcgrpo.evaluation.clusters`."""


Runs = Mapping[str, Mapping[int, Scores]]
"""By arm, then by training seed: each run's scores at the step that was fixed beforehand."""

FEWEST_SEEDS = 3
"""Below, the spread of seeds is not estimated: two say next to nothing about it."""
FEW_QUESTIONS = (
    "Fewer than four questions carry this difference: the interval is wider than a 95% interval has to be. Only "
    "more questions make it narrower."
)
COVERS_ALL = "seeds, questions and samples"
COVERS_EVALUATION = "evaluation noise only"

RULE = (
    "An arm is better (or worse) than the baseline if its corrected p-value is at most 5%; otherwise it is "
    "inconclusive. Holm's method over the family corrects the larger of two p-values: the sign-flip p over seeds, and "
    "the p of the interval over seeds and questions. A verdict therefore needs seeds that agree and an interval that "
    "excludes 0, after correction for the number of comparisons. Questions count as independent unless the benchmark "
    "names clusters; then clusters count."
)


@dataclass(frozen=True)
class Comparison:
    """One arm minus the baseline, on one benchmark, by one metric; shares of 1, None if there is none."""

    benchmark: str
    arm: str
    baseline: str
    metric: str
    difference: float
    low: float | None
    high: float | None
    relative: float | None
    """The difference over the baseline's value; None if that is 0."""
    p_value: float | None
    """Two-sided sign-flip p over seeds; None with fewer than three, and against one model without seeds."""
    p_value_holm: float | None
    """The larger of `p_value` and the interval's own p, corrected over the family; None outside it."""
    probability_of_improvement: float | None
    """A run of the arm is above a run of the baseline, over all pairs of runs; None with fewer than three seeds."""
    detectable_effect: float | None
    """The true difference that the rule would have seen in 80% of such experiments; None if none could be seen."""
    seeds: int
    """Pairs of runs with the same training seed."""
    covers: str
    """What the interval covers."""
    clusters: int | None
    """Number of clusters, if the interval counts clusters; None if it counts questions."""
    in_family: bool
    """Whether it is one of the comparisons fixed beforehand, by a primary metric; others get no verdict."""
    few_questions: bool = False
    """Too few questions carry the difference to say what others would show: see `unseen_variance`."""
    left_out: list[int] = field(default_factory=list)
    """Seeds that both were measured with, on other questions than most seeds were."""
    verdict: Conclusion = "inconclusive"

    @property
    def sentence(self) -> str:
        """The comparison in words."""
        seeds = "one seed" if self.seeds == 1 else f"{self.seeds} seeds"
        start = f"{self.arm} against {self.baseline} on {self.benchmark}, {seeds}: {self._numbers}"
        if self.p_value is None and self.covers == COVERS_ALL:
            sentence = f"{start}: no verdict, since {self.baseline} has no training seeds."
        elif self.p_value is None:
            sentence = f"{start}, evaluation noise only: inconclusive about the rules."
        elif self.p_value_holm is None:
            sentence = f"{start}, p {self.p_value:.2g}: outside the family fixed beforehand, so no verdict."
        else:
            decided = self.verdict != "inconclusive" and self.clusters is None
            condition = ", if questions are independent" if decided else ""
            sentence = f"{start}, Holm p {self.p_value_holm:.2g}: {self.verdict}{condition}."
        if self.few_questions:
            sentence += f" {FEW_QUESTIONS}"
        if self.left_out:
            listed = f"Seed{'s' * (len(self.left_out) > 1)} {', '.join(map(str, self.left_out))}"
            sentence += f" {listed} left out: measured on other questions than the rest."
        return sentence

    @property
    def _numbers(self) -> str:
        name = f"{self.metric[0].upper()}{self.metric[1:]}"
        interval = "" if self.low is None else f" [{_points(self.low)}, {_points(self.high)}]"
        return f"{name} {_points(self.difference)} points{interval}"

    def to_dict(self) -> dict[str, Any]:
        """As `report.json` has it."""
        return asdict(self) | {"sentence": self.sentence}


def compare(benchmarks: Mapping[str, Runs], arms: Sequence[str], primary: Sequence[str]) -> list[Comparison]:
    """Every arm but the first against the first, on every benchmark by every metric, with verdicts on the primary ones.

    Runs are paired by training seed; a seed that one of the two lacks is left out. The family of Holm's correction is
    benchmarks × arms × primary metrics as planned: an arm that could not be measured keeps its place in it.

    Args:
        benchmarks: the runs, by benchmark.
        arms: as planned, the baseline first.
        primary: the metrics that verdicts are given on.
    """
    baseline, *others = arms
    family = list(product(benchmarks, others, primary))
    found: dict[tuple[str, str, str], Comparison] = {}
    p_values: dict[tuple[str, str, str], float] = {}
    for benchmark, arm in product(benchmarks, others):
        pairs = paired(benchmarks[benchmark], arm, baseline)
        for metric in pairs.metrics:
            differences = pairs.differences(metric)
            measured = _measured((benchmark, arm, baseline, metric), pairs)
            if measured.p_value is not None:
                spread = Spread.of(differences, pairs.clusters)
                interval_p = float(spread.p_value(measured.difference))
                p_values[benchmark, arm, metric] = max(measured.p_value, interval_p)
                if metric in primary:
                    measured = replace(measured, detectable_effect=detectable_effect(spread, len(family)))
            found[benchmark, arm, metric] = replace(measured, in_family=metric in primary)
    corrected = holm([p_values.get(key) for key in family])
    for key, p_value in zip(family, corrected, strict=True):
        if p_value is not None:
            found[key] = replace(found[key], p_value_holm=p_value, verdict=_verdict(found[key].difference, p_value))
    return list(found.values())


def against_one(benchmark: str, arm: str, runs: Mapping[int, Scores], name: str, one: Scores) -> list[Comparison]:
    """An arm minus one model that has no training seeds, such as the base: intervals, without p-values and verdicts.

    The interval is that of `compare`. What the one model's own samples add is in it, since it is the same for every
    seed of the arm and so part of what questions add.
    """
    pairs = paired({arm: runs, name: dict.fromkeys(runs, one)}, arm, name)
    found = [_measured((benchmark, arm, name, metric), pairs) for metric in pairs.metrics]
    return [replace(each, p_value=None, probability_of_improvement=None) for each in found]


@dataclass(frozen=True)
class Pairs:
    """Runs of an arm and of the baseline with the same training seeds on the same questions."""

    arm: list[Scores]
    baseline: list[Scores]
    left_out: list[int]
    """Seeds that both were measured with, on other questions than most seeds were."""

    @property
    def metrics(self) -> list[str]:
        """What they were measured by."""
        return list(self.arm[0].values) if self.arm else []

    @property
    def clusters(self) -> Sequence[str] | None:
        """Clusters of the questions."""
        return self.arm[0].clusters

    def values(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Scores of arm and baseline, each (seeds, questions)."""
        of_arm, of_baseline = (np.array([each.values[metric] for each in side]) for side in (self.arm, self.baseline))
        return of_arm, of_baseline

    def differences(self, metric: str) -> np.ndarray:
        """Arm minus baseline, (seeds, questions)."""
        of_arm, of_baseline = self.values(metric)
        return of_arm - of_baseline


def paired(runs: Runs, arm: str, baseline: str) -> Pairs:
    """What two arms have in common, by seed: on the questions that most of their seeds were measured on.

    Among sets of questions that equally many seeds have, the largest is taken.
    """
    of_arm, of_baseline = runs.get(arm, {}), runs.get(baseline, {})
    both = {
        seed: tuple(of_arm[seed].questions)
        for seed in sorted(of_arm.keys() & of_baseline.keys())
        if list(of_arm[seed].questions) == list(of_baseline[seed].questions)
    }
    counts = Counter(both.values())
    most = max(counts, key=lambda questions: (counts[questions], len(questions)), default=())
    kept = [seed for seed, questions in both.items() if questions == most]
    left_out = sorted((of_arm.keys() & of_baseline.keys()) - set(kept))
    return Pairs([of_arm[seed] for seed in kept], [of_baseline[seed] for seed in kept], left_out)


def limits(seeds: int, comparisons: int) -> str | None:
    """What this number of seeds can never show, in a sentence; None if a verdict is possible."""
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
        f"{seeds} seeds: the smallest possible p-value is {smallest:.3g}{corrected}. Every verdict is "
        f"then inconclusive; another verdict needs {fewest_seeds(comparisons)} seeds."
    )


def _measured(sides: tuple[str, str, str, str], pairs: Pairs) -> Comparison:
    """A comparison before correction, outside the family: one difference, and its interval."""
    of_arm, of_baseline = pairs.values(sides[-1])
    differences = of_arm - of_baseline
    enough = len(differences) >= FEWEST_SEEDS and differences.shape[1] > 1
    if enough:
        interval = over_seeds_and_questions(differences, pairs.clusters)
    else:
        interval = of_differences(differences.mean(axis=0), pairs.clusters)
    has_interval = not np.isnan(interval.low)
    below = float(of_baseline.mean())
    return Comparison(
        *sides,
        difference=interval.value,
        low=interval.low if has_interval else None,
        high=interval.high if has_interval else None,
        relative=interval.value / below if below else None,
        p_value=sign_flip_p_value(differences.mean(axis=1)) if enough else None,
        p_value_holm=None,
        probability_of_improvement=(
            probability_of_improvement(of_arm.mean(axis=1), of_baseline.mean(axis=1)) if enough else None
        ),
        detectable_effect=None,
        seeds=len(differences),
        covers=COVERS_ALL if enough else COVERS_EVALUATION,
        clusters=len(set(pairs.clusters or ())) if are_used(pairs.clusters) else None,
        in_family=False,
        few_questions=differences.shape[1] > 1 and bool(unseen_variance(differences.mean(axis=0)) > 0),
        left_out=pairs.left_out,
    )


def _verdict(difference: float, p_value_holm: float) -> Conclusion:
    """See `RULE`."""
    if p_value_holm > LEVEL:
        return "inconclusive"
    return "better" if difference > 0 else "worse"


def _points(share: float | None) -> str:
    """A difference in percentage points, with its sign."""
    return "–" if share is None else f"{100 * share:+z.1f}".replace("-", "−")
