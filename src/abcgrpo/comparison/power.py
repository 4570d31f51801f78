"""The smallest effect that the rule would have called better or worse in four of five experiments, by simulation."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import stats

from abcgrpo.comparison.interval import Spread
from abcgrpo.comparison.significance import smallest_p_value

LEVEL = 0.05
POWER = 0.8
DRAWS = 2000
ENUMERATED_SEEDS = 12
"""Beyond, Student's t stands in for the sign changes, from which it then hardly differs."""


def detectable_effect(spread: Spread, comparisons: int) -> float | None:
    """The true difference that gets a verdict in 80% of experiments with this spread, or None.

    Experiments are drawn with normal seeds and questions of the spread given, and judged by the rule itself: both p,
    the interval's and that of the seeds' signs, are at most 5% / `comparisons`, Holm's bound for the smallest. None
    where no difference could get one, because there are too few seeds for the family, or where nothing varied.

    Args:
        spread: taken for the true mean squares.
        comparisons: the size of the family.
    """
    if smallest_p_value(spread.seeds) > LEVEL / comparisons:
        return None
    seed_deviation = math.sqrt(spread.of_seeds / spread.questions)
    question_deviation = math.sqrt(max(spread.question_excess - spread.unseen, 0.0) / (spread.seeds * spread.questions))
    unit = math.hypot(seed_deviation, question_deviation)
    if unit == 0:
        return None
    generator = np.random.default_rng([spread.seeds, comparisons])
    noise = seed_deviation * generator.standard_normal((DRAWS, spread.seeds))
    noise += question_deviation * generator.standard_normal((DRAWS, 1))
    others = [
        mean_square * generator.chisquare(freedom, DRAWS) / freedom
        for mean_square, freedom in (
            (spread.of_questions, spread.questions - 1),
            (spread.residual, (spread.seeds - 1) * (spread.questions - 1)),
        )
    ]
    of_seeds = spread.questions * noise.var(axis=1, ddof=1)
    drawn_spread = Spread(spread.seeds, spread.questions, of_seeds, *others, unseen=spread.unseen)
    half = drawn_spread.half_width(1 - LEVEL / comparisons)

    def power(effect: float) -> float:
        drawn = noise + effect
        return float(np.mean((drawn.mean(axis=1) > half) & (p_values(drawn) <= LEVEL / comparisons)))

    return _smallest(power, unit)


@lru_cache(maxsize=64)
def detectable_effect_in_deviations(seeds: int, comparisons: int) -> float | None:
    """`detectable_effect` before anything is run, in standard deviations of a seed's difference; questions apart."""
    return detectable_effect(Spread(seeds, 2, of_seeds=2.0, of_questions=0.0, residual=0.0), comparisons)


def fewest_seeds(comparisons: int) -> int:
    """How many seeds a family of this size needs before any verdict is possible."""
    return 1 + math.ceil(math.log2(comparisons / LEVEL))


def p_values(differences: np.ndarray) -> np.ndarray:
    """`sign_flip_p_value` of many experiments, (N, S) → (N,)."""
    seeds = differences.shape[1]
    if seeds > ENUMERATED_SEEDS:
        t = np.abs(differences.mean(axis=1)) / stats.sem(differences, axis=1)
        return 2 * stats.t.sf(t, seeds - 1)
    half = np.arange(2 ** (seeds - 1))  # the other half mirrors it
    signs = 1 - 2 * ((half[:, None] >> np.arange(seeds)) & 1)
    flipped = np.abs(differences @ signs.T)
    return np.mean(flipped >= flipped[:, :1] * (1 - 1e-9), axis=1)


def _smallest(power: Callable[[float], float], unit: float) -> float:
    """Where `power` reaches 80%, to 1% of the unit."""
    high = unit
    while power(high) < POWER:
        high *= 2
    low = 0.0
    while high - low > 0.01 * unit:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high
