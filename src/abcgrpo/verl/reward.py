"""The reward in verl's signature: `reward.custom_reward_function.path=pkg://abcgrpo.verl.reward`."""

import logging
from collections.abc import Mapping
from typing import Any

from abcgrpo.tasks.parquet import graded_row

logger = logging.getLogger(__name__)


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Mapping[str, Any] | None = None
) -> float:
    """1.0 for a right response, else 0.0: the grader behind TRL's reward and behind evaluation, for verl.

    A gold that cannot be parsed is 0.0 for every response to its problem, with a warning: equal rewards have advantage
    0, so the problem gives no signal.

    Args:
        data_source: `countdown`; all other names are mathematics.
        solution_str: the response.
        ground_truth: what `abcgrpo.tasks.parquet` writes: the gold answer, or countdown's numbers and target as JSON.
        extra_info: not used.

    Raises:
        ValueError: a ground truth of countdown that holds no numbers and target.
    """
    task, row = graded_row(data_source, ground_truth)
    (verdict,) = task.grade([solution_str], [row])
    if verdict.correct is None:
        logger.warning("a gold of %s cannot be parsed, its problem gives no signal: %.80r", data_source, ground_truth)
    return float(verdict.correct or 0)
