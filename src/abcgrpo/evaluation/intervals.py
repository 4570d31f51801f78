"""95% intervals of means over questions, and the population that each of them describes. No torch.

A percentile bootstrap over 30 questions covers its target in far fewer than 95 of 100 cases where most questions are
never (or always) solved: the spread that it resamples is too small, and zero where all questions agree. Shares get a
score interval instead, with the effective number of questions that their spread stands for.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from abcgrpo.evaluation.metrics import pass_at_k_by_count

CONFIDENCE = 0.95
RESAMPLES = 2000


class Interval(NamedTuple):
    """A mean over questions and its 95% interval; NaN where one question gives none."""

    value: float
    low: float
    high: float


class SampleNoise(NamedTuple):
    """What drawing other samples adds."""

    interval: Interval
    """Over questions and samples."""
    standard_error: float
    """Of the mean, had the same questions been answered again."""


def over_questions(shares: np.ndarray) -> Interval:
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
    """
    shares = np.asarray(shares, dtype=float)
    if len(shares) < 2:
        return Interval(float(shares.mean()), math.nan, math.nan)
    return _score_interval(float(shares.mean()), float(shares.var(ddof=1)) / len(shares), len(shares))


def over_questions_and_samples(
    correct: np.ndarray, samples: int, k: int, generator: np.random.Generator
) -> SampleNoise:
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
    rates = counts / samples
    expected = 1 - (1 - rates) ** k
    probabilities = stats.binom.pmf(np.arange(samples + 1), samples, rates[:, None])
    noise = float(np.mean(probabilities @ by_count**2 - expected**2))
    standard_error = math.sqrt(max(noise, 0.0) / questions)
    if questions < 2:
        return SampleNoise(Interval(mean, math.nan, math.nan), standard_error)
    spread = float(shares.var(ddof=1))
    kept = math.sqrt(max(0.0, 1 - noise / spread)) if spread > 0 else 0.0
    drawn = generator.integers(0, questions, (RESAMPLES, questions))
    again = by_count[generator.binomial(samples, rates[drawn])] - expected[drawn]
    means = (kept * (shares[drawn] - mean) + again).mean(axis=1)
    variance = float(means.var(ddof=1)) * questions / (questions - 1)
    return SampleNoise(_score_interval(mean, variance, questions), standard_error)


def of_differences(values: np.ndarray) -> Interval:
    """The mean of differences between two models, question by question, and its Student-t interval, within [−1, 1].

    The population is that of `over_questions`; what two models share, such as the difficulty of a question, drops out.
    """
    values = np.asarray(values, dtype=float)
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan)
    half = _quantile(len(values)) * values.std(ddof=1) / math.sqrt(len(values))
    return Interval(mean, max(mean - half, -1.0), min(mean + half, 1.0))


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
