"""Each question's Avg@k, Pass@k and majority vote. Arrays in, arrays out; no torch. Intervals are next door."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

PassAtK = Literal["unbiased", "first-k"]
PASS_AT_K: tuple[PassAtK, ...] = ("unbiased", "first-k")


def average(correct: np.ndarray, samples: int) -> np.ndarray:
    """Each question's share of right answers: its unbiased Avg@k for every k; (questions,).

    Args:
        correct: (questions,), how many of the question's samples were right.
        samples: n, samples per question.
    """
    return np.asarray(correct) / samples


def pass_at_k(correct: np.ndarray, samples: int, k: int) -> np.ndarray:
    """Each question's Pass@k: the probability that k samples drawn without replacement hold a right one; (questions,).

    The unbiased estimator 1 − C(n−c, k) / C(n, k) of Chen et al. 2021 (arXiv 2107.03374), in exact integers. At k = n
    it is "any sample is right", a noisy figure: take more samples than the largest k.

    Args:
        correct: (questions,), how many of the question's samples were right.
        samples: n, samples per question.
        k: 1 … n.

    Raises:
        ValueError: k outside 1 … n, or a count outside 0 … n.
    """
    counts = np.asarray(correct)
    if counts.size and not (counts.min() >= 0 and counts.max() <= samples):
        raise ValueError(f"right answers per question must be 0 … {samples}")
    return pass_at_k_by_count(samples, k)[counts]


def pass_at_k_by_count(samples: int, k: int) -> np.ndarray:
    """Pass@k of a question with 0, 1, … n right answers; (n + 1,).

    Raises:
        ValueError: k outside 1 … n.
    """
    _require_k(samples, k)
    return np.array([1 - math.comb(samples - c, k) / math.comb(samples, k) for c in range(samples + 1)])


def pass_at_first_k(right: np.ndarray, k: int) -> np.ndarray:
    """Whether any of each question's first k samples is right, 0 or 1; (questions,).

    What the paper's released script calls Pass@k: the same expectation as `pass_at_k`, one draw for each question
    instead of the mean over all draws.

    Args:
        right: (questions, n), by sample index.
        k: 1 … n.

    Raises:
        ValueError: k outside 1 … n.
    """
    _require_k(right.shape[1], k)
    return right[:, :k].any(axis=1).astype(float)


def majority_vote(answers: Sequence[Sequence[str | None]], right: np.ndarray) -> np.ndarray:
    """Whether each question's most frequent answer is right; (questions,).

    Right answers are one answer, since all of them are the gold's; wrong ones are distinguished by their text without
    spaces. Samples without an answer have no vote. Among w answers that tie, a right one counts 1/w, the expectation
    of a draw. A question without votes counts 0.

    Args:
        answers: for each question, its samples' answers; None if there is none.
        right: (questions, n), whether each is right.
    """
    return np.array([_vote(given, correct) for given, correct in zip(answers, right, strict=True)])


def _vote(answers: Sequence[str | None], right: np.ndarray) -> float:
    votes = Counter(
        (True, "") if correct else (False, "".join(answer.split()))
        for answer, correct in zip(answers, right, strict=True)
        if answer is not None
    )
    most = max(votes.values(), default=0)
    winners = [correct for (correct, _), count in votes.items() if count == most]
    return sum(winners) / len(winners) if winners else 0.0


def _require_k(samples: int, k: int) -> None:
    if not 1 <= k <= samples:
        raise ValueError(f"Pass@{k} needs at least {k} samples per question, and k ≥ 1; there are {samples}")
