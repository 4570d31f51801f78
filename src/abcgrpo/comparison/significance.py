"""p-values over seeds, their correction for several comparisons, and the probability of improvement."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

EXACT_SEEDS = 16
"""Up to so many seeds all 2^S sign changes are gone through; beyond, as many are drawn."""


def sign_flip_p_value(differences: np.ndarray) -> float:
    """Two-sided p of the hypothesis that arm and baseline are exchangeable within each seed.

    Under it each seed's difference might as well have had the other sign: p is the share of all sign changes whose mean
    is as far from 0 as the observed one (Fisher's randomisation test for pairs). It cannot be below 2 / 2^S, whatever
    the data: see `smallest_p_value`.

    Args:
        differences: (S,), the seeds' mean differences.
    """
    result = stats.permutation_test(
        (np.asarray(differences, dtype=float),),
        np.mean,
        permutation_type="samples",
        n_resamples=2**EXACT_SEEDS,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def smallest_p_value(seeds: int) -> float:
    """What `sign_flip_p_value` gives where all seeds agree: 2 / 2^S; 0.0625 for five, 0.0078 for eight."""
    return 2.0 ** (1 - seeds)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p-values: all that are ≤ 5% together hold a false one in at most 5% of experiments.

    Holm, Scand. J. Statist. 6 (1979) 65. A comparison that was planned and could not be made (None) keeps its place in
    the family as if its p were 1.
    """
    adjusted: list[float | None] = [None] * len(p_values)
    ordered = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    largest = 0.0
    for rank, (p, index) in enumerate(ordered):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p))
        adjusted[index] = largest
    return adjusted


def probability_of_improvement(arm: np.ndarray, baseline: np.ndarray) -> float:
    """P(a run of the arm is above a run of the baseline), over all pairs of runs, ties counting half.

    The Mann–Whitney statistic as a share, as Agarwal et al. 2021 (arXiv 2108.13264) define it for one task: unpaired.

    Args:
        arm: (S,), the mean of each run.
        baseline: (S',), likewise.
    """
    above = np.subtract.outer(np.asarray(arm), np.asarray(baseline))
    return float(np.mean(np.where(above == 0, 0.5, above > 0)))
