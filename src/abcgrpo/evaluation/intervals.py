"""95% intervals of means over questions, and the population that each of them describes. No torch.

A percentile bootstrap over 30 questions covers its target in far fewer than 95 of 100 cases where most questions are
never (or always) solved: the spread that it resamples is too small, and zero where all questions agree. Shares get a
score interval instead, with the effective number of questions that their spread stands for.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from abcgrpo.evaluation.clusters import per_cluster
from abcgrpo.evaluation.metrics import pass_at_k_by_count

CONFIDENCE = 0.95
RESAMPLES = 2000
CARRIED_BY = 4.0
"""Questions that have to carry the spread of differences before Student's interval is taken as it is."""


class Interval(NamedTuple):
    """A mean over questions and its 95% interval; NaN where one question gives none."""

    value: float
    low: float
    high: float


def over_questions(shares: np.ndarray, clusters: Sequence[str] | None = None) -> Interval:
    """The mean of shares and the interval for the benchmark's population of questions.

    How far the mean would be from that of all questions of the same kind, each answered by samples without end. The
    noise of the samples is in it, since it is part of the spread between questions; what another training seed would
    change is not.

    Wilson's score interval with Student's t in place of the normal quantile and N effective questions,

        1/N² = (s² / (Q · m(1−m)))² + (1/M)²,   M = Q · max(1, 4 Q · min(m, 1−m))

    where m is the mean and s² the variance of the shares. The first term alone gives about Q for shares that are 0 or
    1, and more where questions are solved sometimes. M limits it where the shares add up to little more than one
    question, or to all but one: a few other questions would change the spread, which is then not to be trusted. The 4
    was chosen by simulation.

    Args:
        shares: (questions,), each 0 … 1.
        clusters: (questions,), see `abcgrpo.evaluation.clusters`; Q then is the number of clusters.
    """
    units = per_cluster(np.asarray(shares, dtype=float), clusters)
    if len(units) < 2:
        return Interval(float(units.mean()), math.nan, math.nan)
    return _score_interval(float(units.mean()), float(units.var(ddof=1)) / len(units), len(units))


def over_questions_and_samples(
    correct: np.ndarray, samples: int, k: int, generator: np.random.Generator, clusters: Sequence[str] | None = None
) -> Interval:
    """Pass@k over other questions and other samples, by resampling both; k < n.

    Questions are drawn with replacement, and each drawn question answers n times anew at its observed rate. Doing just
    that counts the samples' noise twice, since the observed rates have it too; so the spread between questions is first
    shrunk by the part of it that the samples explain, and the resampled estimates are centred at their own expectation
    1 − (1 − c/n)^k, which is not the estimate's. The variance of the resampled means, times Q / (Q−1), goes into the
    same score interval as in `over_questions`, which describes the same target: the two should agree, and where they do
    not, rates of 0 or 1 hide what other samples would show.

    Args:
        correct: (questions,), right answers of each.
        samples: n.
        k: 1 … n − 1.
        generator: what the resampling draws from.
        clusters: (questions,), see `abcgrpo.evaluation.clusters`: the variance is multiplied by the design effect, the
            variance of the mean over clusters divided by that over questions taken as independent.

    Raises:
        ValueError: k ≥ n. At k = n Pass@k is "any sample is right", and resampled samples, of which many are the same,
            say too little about it.
    """
    if k >= samples:
        raise ValueError(f"Pass@{k} of {samples} samples has an interval over questions only: resampling needs k < n")
    counts = np.asarray(correct)
    questions = len(counts)
    by_count = pass_at_k_by_count(samples, k)
    shares = by_count[counts]
    mean = float(shares.mean())
    if questions < 2:
        return Interval(mean, math.nan, math.nan)
    rates = counts / samples
    expected = 1 - (1 - rates) ** k
    probabilities = stats.binom.pmf(np.arange(samples + 1), samples, rates[:, None])
    noise = float(np.mean(probabilities @ by_count**2 - expected**2))  # what the resampling below adds
    spread = float(shares.var(ddof=1))
    kept = math.sqrt(max(0.0, 1 - noise / spread)) if spread > 0 else 0.0
    drawn = generator.integers(0, questions, (RESAMPLES, questions))
    again = by_count[generator.binomial(samples, rates[drawn])] - expected[drawn]
    means = (kept * (shares[drawn] - mean) + again).mean(axis=1)
    units = per_cluster(shares, clusters)
    design_effect = (units.var(ddof=1) / len(units)) / (spread / questions) if spread > 0 else 1.0
    variance = float(means.var(ddof=1)) * questions / (questions - 1) * float(design_effect)
    return _score_interval(mean, variance, len(units))


def sampling_error(correct: np.ndarray, samples: int, k: int) -> float | None:
    """The standard error that the mean Pass@k would have if the same questions were answered again; None for k > n/2.

    Of one question with rate p the estimate 1 − f_k, f_k = C(n−c, k) / C(n, k), has the variance E f_k² − (1−p)^2k,
    and f_2k is an unbiased estimate of (1−p)^2k; so f_k² − f_2k, which is never negative, estimates the variance
    without bias. For k = 1 it is the familiar p̂(1−p̂)/(n−1). f_2k needs 2k ≤ n: beyond, no unbiased estimate exists,
    since n answers tell of polynomials in p up to degree n alone, and there is none here.

    Args:
        correct: (questions,), right answers of each.
        samples: n.
        k: 1 … n.
    """
    if 2 * k > samples:
        return None
    none_right, twice = (1 - pass_at_k_by_count(samples, size)[np.asarray(correct)] for size in (k, 2 * k))
    return math.sqrt(float(np.mean(none_right**2 - twice)) / len(none_right))


def of_differences(values: np.ndarray, clusters: Sequence[str] | None = None) -> Interval:
    """The mean of differences between two models, question by question, and its 95% interval, within [−1, 1].

    The population is that of `over_questions`; what two models share, such as the difficulty of a question, drops out.
    Student's interval with what questions may add that are not among these (`unseen_variance`),

        m ± t(Q−1) · √(s²/Q + w/Q²)

    Args:
        values: (questions,), each −1 … 1.
        clusters: (questions,), see `abcgrpo.evaluation.clusters`; s² and t then are those of the clusters.
    """
    values = np.asarray(values, dtype=float)
    units = per_cluster(values, clusters)
    mean = float(units.mean())
    if len(units) < 2:
        return Interval(mean, math.nan, math.nan)
    half = _quantile(len(units)) * math.sqrt(units.var(ddof=1) / len(units) + unseen_variance(values))
    return Interval(mean, max(mean - half, -1.0), min(mean + half, 1.0))


def unseen_variance(differences: np.ndarray) -> Any:
    """What Q differences (…, Q) cannot show of their mean's variance: w/Q², 0 where enough of them carry the spread.

    Where both models solve nearly every question (or nearly none), nearly all differences are 0, the spread rests on
    one or two questions or on none, and Student's interval has next to no width: it holds the truth in far fewer than
    95 of 100 cases. P = (Σ e²)² / Σ e⁴ with e = d − m says how many questions carry the spread (1 where a single one
    does, about Q/3 for normal differences). Below `CARRIED_BY` the variance gets that of a difference of ±1 that one
    question in Q may have and that this benchmark happens to lack, to the part

        w = max(0, 1 − P / 4)

    The form and both constants were chosen by simulation (docs/evaluation.md).
    """
    deviations = differences - differences.mean(axis=-1, keepdims=True)
    squares, fourth = (deviations**2).sum(axis=-1), (deviations**4).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        carried_by = np.where(fourth > 0, squares**2 / fourth, 0.0)
    return np.maximum(0.0, 1 - carried_by / CARRIED_BY) / differences.shape[-1] ** 2


def _score_interval(mean: float, variance: float, questions: int) -> Interval:
    """Wilson's interval of a share whose estimate has this variance."""
    most = questions * max(1.0, 4 * questions * min(mean, 1 - mean))
    binary = mean * (1 - mean)
    effective = 1 / math.hypot(variance / binary if binary > 0 else 0.0, 1 / most)
    t = _quantile(questions)
    centre = (mean + t**2 / (2 * effective)) / (1 + t**2 / effective)
    half = t / (1 + t**2 / effective) * math.sqrt(mean * (1 - mean) / effective + t**2 / (4 * effective**2))
    # A mean of 0 or 1 is an end of its interval, whatever rounding says.
    return Interval(mean, min(max(centre - half, 0.0), mean), max(min(centre + half, 1.0), mean))


def _quantile(questions: int) -> float:
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, questions - 1))
