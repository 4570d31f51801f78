"""The reward in verl's signature: `reward.custom_reward_function.path=pkg://abcgrpo.verl.reward`."""

import logging
from collections.abc import Mapping
from typing import Any

from abcgrpo.tasks.parquet import graded_row

logger = logging.getLogger(__name__)


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Mapping[str, Any] | None = None
) -> float:
    """The score of a response, 1.0 or 0.0 of most tasks: the grader behind TRL's reward and evaluation, for verl.

    A gold that cannot be parsed is 0.0 for every response to its problem, with a warning: equal rewards have advantage
    0, so the problem gives no signal.

    Args:
        data_source: what the rows are called; see `abcgrpo.tasks.parquet.graded_row`.
        solution_str: the response.
        ground_truth: what `abcgrpo.tasks.parquet` writes: the gold answer, or several columns as JSON.
        extra_info: its `task` names the task that grades.

    Raises:
        ValueError: a ground truth that the task did not write.
    """
    task, row = graded_row(data_source, ground_truth, (extra_info or {}).get("task"))
    (verdict,) = task.grade([solution_str], [row])
    if verdict.correct is None:
        logger.warning("a gold of %s cannot be parsed, its problem gives no gradient: %.80r", data_source, ground_truth)
    return verdict.reward or 0.0
