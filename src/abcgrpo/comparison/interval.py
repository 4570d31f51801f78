"""The mean of paired differences over seeds × questions, and its 95% interval.

Every seed is measured on the same questions, so seeds and questions are crossed, not nested. The model is a two-way
layout with random effects,

    D[s, q] = δ + a[s] + b[q] + e[s, q]

a: what another training seed changes on all questions alike; b: what the arm changes on this question with any seed;
e: the rest, which is what a seed changes on single questions and the noise of the samples. Estimates come from the mean
squares of the layout. Searle, Casella & McCulloch, Variance Components (1992), chapter 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import stats

from abcgrpo.evaluation.clusters import per_cluster
from abcgrpo.evaluation.intervals import CONFIDENCE, Interval, unseen_variance


@dataclass(frozen=True)
class Spread:
    """The mean squares of differences (…, S seeds, Q questions); numbers, or arrays over the leading axes."""

    seeds: int
    questions: int
    of_seeds: Any
    """Q × the variance of the seeds' means; expectation Q·σa² + σe²."""
    of_questions: Any
    """S × the variance of the questions' means; expectation S·σb² + σe²."""
    residual: Any
    """Expectation σe²."""
    unseen: Any = 0.0
    """S·Q × `unseen_variance` of the questions' means: what questions may add that are not among these."""

    @classmethod
    def of(cls, differences: np.ndarray, clusters: Sequence[str] | None = None) -> Self:
        """The mean squares of differences, (…, S, Q) with S and Q of two or more.

        With clusters, (Q,), these take the place of questions: see `abcgrpo.evaluation.clusters`.
        """
        unseen = unseen_variance(differences.mean(axis=-2))
        differences = per_cluster(differences, clusters)
        seeds, questions = differences.shape[-2:]
        by_seed, by_question = differences.mean(axis=-1), differences.mean(axis=-2)
        mean = differences.mean(axis=(-2, -1))[..., None, None]
        rest = differences - by_seed[..., None] - by_question[..., None, :] + mean
        return cls(
            seeds,
            questions,
            questions * by_seed.var(axis=-1, ddof=1),
            seeds * by_question.var(axis=-1, ddof=1),
            (rest**2).sum(axis=(-2, -1)) / ((seeds - 1) * (questions - 1)),
            seeds * questions * unseen,
        )

    @property
    def question_excess(self) -> Any:
        """What questions add: S·σb², not below 0, and `unseen`."""
        return np.maximum(self.of_questions - self.residual, 0.0) + self.unseen

    @property
    def variance(self) -> Any:
        """S·Q times that of the mean, σa²/S + σb²/Q + σe²/(S·Q): MS_seeds + `question_excess`.

        MS_seeds is taken as it is even where it falls below MS_residual: `freedom` allows for that, and raising it as
        well would count the same caution twice.
        """
        return self.of_seeds + self.question_excess

    @property
    def freedom(self) -> Any:
        """Satterthwaite's degrees of freedom: S−1 where seeds make the spread, towards Q−1 where questions do.

        (M + B)² / (M² / (S−1) + B² / (Q−1)) with B = `question_excess` and M = max(MS_seeds, MS_residual). MS_seeds is
        at least MS_residual in expectation. With three seeds it has two degrees of freedom and is often far below by
        chance: taken as it is, it would make the interval narrow and the degrees of freedom many at once, and the
        interval covers 91 to 93% there (docs/comparison.md).
        """
        of_seeds = np.maximum(self.of_seeds, self.residual)
        parts = of_seeds**2 / (self.seeds - 1) + self.question_excess**2 / (self.questions - 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(parts > 0, (of_seeds + self.question_excess) ** 2 / parts, self.seeds - 1)

    def half_width(self, confidence: float = CONFIDENCE) -> Any:
        """Half of the interval of the mean, t(`freedom`) · √(`variance` / (S·Q))."""
        quantile = stats.t.ppf((1 + confidence) / 2, self.freedom)
        return quantile * np.sqrt(self.variance / (self.seeds * self.questions))

    def p_value(self, mean: Any) -> Any:
        """Two-sided p of a mean of 0: at most 5% where the 95% interval excludes 0."""
        with np.errstate(invalid="ignore", divide="ignore"):
            t = np.abs(mean) / np.sqrt(self.variance / (self.seeds * self.questions))
        return np.where(np.isnan(t), 1.0, 2 * stats.t.sf(t, self.freedom))  # 0 / 0: the same runs


def over_seeds_and_questions(differences: np.ndarray, clusters: Sequence[str] | None = None) -> Interval:
    """The mean difference and its 95% interval within [−1, 1] for other seeds, other questions and other samples.

    Args:
        differences: (S, Q), arm minus baseline; S ≥ 2. With one question there is no interval: NaN.
        clusters: (Q,), see `abcgrpo.evaluation.clusters`; Q then is the number of clusters.
    """
    differences = np.asarray(differences, dtype=float)
    mean = float(differences.mean())
    if differences.shape[1] < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = float(Spread.of(differences, clusters).half_width())
    return Interval(mean, max(mean - half, -1.0), min(mean + half, 1.0))
