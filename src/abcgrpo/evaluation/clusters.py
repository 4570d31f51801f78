"""Questions that come in clusters: a contest, a template, a passage that several questions share.

What such questions have in common makes them move together, so that thirty of them tell less than thirty independent
ones. Where a benchmark names clusters, these are what intervals count: a cluster is one unit, and its value is
linearized so that the mean over units is the mean over questions whatever the sizes of the clusters,

    z[c] = m + (C/Q) · Σ_{q in c} (x[q] − m)

whose variance over C is the variance of a ratio of totals (Cochran, Sampling Techniques, 1977, section 9A.2; with C−1
in the denominator, the CR1 form of cluster-robust variance). With equal sizes z[c] is the mean of the cluster.
"""

from collections.abc import Sequence

import numpy as np

FEWEST_CLUSTERS = 5
"""Below, the spread of clusters is not estimated: Student's quantile for three is 4.3, for two 12.7."""

INDEPENDENT = (
    "Questions count as independent. Questions that share something (a contest, a template, a passage) would make the "
    "intervals too narrow and verdicts too frequent. Name such groups in a `cluster` column of the benchmark's file."
)


def per_cluster(values: np.ndarray, clusters: Sequence[str] | None) -> np.ndarray:
    """The units that an interval counts: (…, questions) → (…, clusters), with the same means over the last axis.

    Args:
        values: (…, questions).
        clusters: (questions,), the cluster of each; None, or fewer than `FEWEST_CLUSTERS`, leaves the values as they
            are, so that each question is a unit.
    """
    if not are_used(clusters):
        return values
    _, of_question = np.unique(np.asarray(clusters), return_inverse=True)
    membership = np.eye(of_question.max() + 1)[of_question]  # (questions, clusters)
    questions, units = membership.shape
    mean = values.mean(axis=(-2, -1) if values.ndim > 1 else -1, keepdims=True)
    return mean + (values - mean) @ membership * (units / questions)


def are_used(clusters: Sequence[str] | None) -> bool:
    """Whether intervals count these clusters, and not their questions."""
    return clusters is not None and len(set(clusters)) >= FEWEST_CLUSTERS


def in_words(questions: int, clusters: Sequence[str] | None) -> str:
    """What intervals count, in a sentence for notes."""
    if clusters is None:
        return INDEPENDENT
    found = len(set(clusters))
    if are_used(clusters):
        return f"The {questions} questions are in {found} clusters: intervals and verdicts count clusters."
    return (
        f"The {questions} questions are in {found} cluster{'s' * (found > 1)}, too few to measure what questions of a "
        f"cluster share ({FEWEST_CLUSTERS} are needed). {INDEPENDENT.partition(' Name')[0]}"
    )
