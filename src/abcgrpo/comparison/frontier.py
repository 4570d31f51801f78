"""Arms compared at equal Avg@k instead of equal steps: Pass@k where each run first reaches a level of Avg@k.

An arm that learns more slowly has a lower Avg@k at the same step and, for that alone, often a higher Pass@k. Along
training each run draws a curve of Pass@k against Avg@k. Between the two checkpoints where Avg@k first reaches the
level L both are interpolated linearly; Pass@k there is compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from abcgrpo.comparison.compare import FEWEST_SEEDS, Scores
from abcgrpo.comparison.interval import over_seeds_and_questions
from abcgrpo.evaluation.intervals import Interval, of_differences

Course = Mapping[int, Scores]
"""One run's scores by step, the base's at step 0; all on the same questions."""

GRID = 0.05
"""Levels are multiples of this, unless one is given."""


class Crossing(NamedTuple):
    """Where a run first reaches the level."""

    step: float
    """Interpolated between checkpoints."""
    passes: float
    """Pass@k there."""
    linearized: np.ndarray
    """(questions,), with mean `passes`: what each question contributes, the shift of the crossing included."""


@dataclass(frozen=True)
class Frontier:
    """One arm minus the baseline at the same Avg@k; None if the level is not reached."""

    benchmark: str
    arm: str
    baseline: str
    level: float
    difference: float | None
    low: float | None
    high: float | None
    seeds: int
    """Pairs of runs that were measured along training."""
    not_reached: dict[str, list[int]]
    """By arm, the seeds whose run never reaches the level."""


def common_level(courses: Sequence[Course], average: str) -> float | None:
    """The highest multiple of `GRID` that every run reaches after its first checkpoint; None if there is none.

    The rule is fixed beforehand, the level is not: the coverage in docs/comparison.md is that of the rule.
    """
    if not courses:
        return None
    highest = min(max(_mean(scores, average) for scores in course.values()) for course in courses)
    start = max(_mean(course[min(course)], average) for course in courses)
    level = GRID * np.floor(highest / GRID + 1e-9)
    return float(round(level, 10)) if level > start else None


def crossing(course: Course, level: float, average: str, passes: str) -> Crossing | None:
    """Where a run first reaches the level, or None.

    Of each question's Avg@k a[q] and Pass@k p[q], interpolated at the crossing, the linearized value is

        z[q] = P + (p[q] − P) − β (a[q] − L)

    since other questions would shift both the curve and the place where it crosses the level (the delta method). β is
    the slope of Pass@k against Avg@k over all checkpoints of the run, by least squares.

    Args:
        course: the run.
        level: L.
        average: the name of Avg@k among the scores.
        passes: the name of Pass@k.
    """
    steps = sorted(course)
    averages = [_mean(course[step], average) for step in steps]
    above = next((at for at, value in enumerate(averages) if value >= level), None)
    if above is None:
        return None
    before = max(above - 1, 0)
    gain = averages[above] - averages[before]
    part = (level - averages[before]) / gain if gain > 0 else 1.0
    at_level = {
        name: (1 - part) * course[steps[before]].values[name] + part * course[steps[above]].values[name]
        for name in (average, passes)
    }
    reached = [_mean(course[step], passes) for step in steps]
    spread = float(np.var(averages))
    slope = float(np.cov(averages, reached, ddof=0)[0, 1]) / spread if spread > 0 else 0.0
    shift = at_level[average] - at_level[average].mean()
    step = (1 - part) * steps[before] + part * steps[above]
    return Crossing(step, float(at_level[passes].mean()), at_level[passes] - slope * shift)


def at_equal_average(
    benchmark: str,
    runs: Mapping[str, Mapping[int, Course]],
    arms: tuple[str, str],
    level: float,
    average: str,
    passes: str,
) -> Frontier:
    """Pass@k of an arm minus the baseline's where both first reach the level, and its 95% interval.

    The interval is that of `abcgrpo.comparison.compare`, over seeds and questions (questions alone with fewer than
    three seeds), of the linearized values. It is given only where every pair of runs reaches the level: those that
    do are no random part of all.

    Args:
        benchmark: its name.
        runs: by arm and seed.
        arms: the arm and the baseline.
        level: Avg@k, a share.
        average: the name of Avg@k among the scores.
        passes: the name of Pass@k.
    """
    shared = sorted(set.intersection(*(set(runs[arm]) for arm in arms)))
    found = {arm: {seed: crossing(runs[arm][seed], level, average, passes) for seed in shared} for arm in arms}
    not_reached = {arm: [seed for seed, at in of.items() if at is None] for arm, of in found.items()}
    interval = None
    if shared and not any(not_reached.values()):
        sides = [np.array([at.linearized for at in of.values() if at]) for of in found.values()]
        clusters = next(iter(runs[arms[0]][shared[0]].values())).clusters
        interval = _interval(sides[0] - sides[1], clusters)
    missing = {arm: seeds for arm, seeds in not_reached.items() if seeds}
    low, high = (interval.low, interval.high) if interval and not np.isnan(interval.low) else (None, None)
    difference = interval.value if interval else None
    return Frontier(benchmark, *arms, level, difference, low, high, len(shared), missing)


def _interval(differences: np.ndarray, clusters: Sequence[str] | None) -> Interval:
    if len(differences) >= FEWEST_SEEDS:
        return over_seeds_and_questions(differences, clusters)
    return of_differences(differences.mean(axis=0), clusters)


def _mean(scores: Scores, name: str) -> float:
    return float(scores.values[name].mean())
