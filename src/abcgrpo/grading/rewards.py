"""The grader as a reward, in the signatures that TRL and verl call."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from abcgrpo.grading.grader import grade, grade_batch
from abcgrpo.grading.verdict import Verdict

logger = logging.getLogger(__name__)


def accuracy_reward(
    completions: Sequence[str | Sequence[Mapping[str, Any]]],
    answer: Sequence[object],
    log_extra: Callable[[str, list], None] | None = None,
    log_metric: Callable[[str, float], None] | None = None,
    **kwargs: Any,
) -> list[float | None]:
    """1.0 for a correct completion, 0.0 for any other, None if the gold cannot be parsed (TRL's reward signature).

    None leaves a completion out of the reward; how many there are is logged as a warning and as the metric
    `grading/unparsable_gold`, beside `grading/timeout` (timeouts and kills) and `grading/no_answer`.

    Args:
        completions: texts, or conversations whose last message is the answer.
        answer: the gold answers: the dataset's column of this name.
        log_extra: TRL's hook for columns of the table of completions.
        log_metric: TRL's hook for numbers.
        **kwargs: the other columns of the dataset, which TRL passes to every reward; not used.

    Raises:
        ValueError: not one gold for each completion.
    """
    verdicts = grade_batch([completion_text(completion) for completion in completions], answer)
    return rewards_of(verdicts, answer, log_extra, log_metric)


def rewards_of(
    verdicts: Sequence[Verdict],
    golds: Sequence[object],
    log_extra: Callable[[str, list], None] | None = None,
    log_metric: Callable[[str, float], None] | None = None,
) -> list[float | None]:
    """Rewards from verdicts, with what the grader said logged; see `accuracy_reward`."""
    reasons = [verdict.reason for verdict in verdicts]
    if unparsable := reasons.count("unparsable_gold"):
        bad = sorted(
            {repr(gold)[:80] for gold, reason in zip(golds, reasons, strict=True) if reason == "unparsable_gold"}
        )
        logger.warning(
            "%d of %d golds cannot be parsed and give no reward: %s",
            unparsable,
            len(verdicts),
            ", ".join(bad[:5]),
        )
    if log_metric and verdicts:
        stopped = reasons.count("timeout") + reasons.count("killed")
        for name, count in (
            ("unparsable_gold", unparsable), ("timeout", stopped), ("no_answer", reasons.count("no_answer"))
        ):  # fmt: skip
            log_metric(f"grading/{name}", count / len(verdicts))
    if log_extra:
        log_extra("gold", [str(gold) for gold in golds])
        log_extra("extracted_answer", [verdict.answer or "" for verdict in verdicts])
        log_extra("grading_reason", list(reasons))
    return [verdict.reward for verdict in verdicts]


def compute_score(
    data_source: str, solution_str: str, ground_truth: object, extra_info: Mapping[str, Any] | None = None
) -> float | None:
    """1.0 or 0.0 for one response (verl's reward signature); None, with a warning, where the gold cannot be parsed.

    Args:
        data_source: the data set's name, for the warning.
        solution_str: the response.
        ground_truth: the gold answer.
        extra_info: not used.
    """
    verdict = grade(solution_str, ground_truth)
    if verdict.correct is None:
        logger.warning("a gold of %s cannot be parsed and gives no reward: %r", data_source, str(ground_truth)[:80])
        return None
    return float(verdict.correct)


def completion_text(completion: str | Sequence[Mapping[str, Any]]) -> str:
    """The text of a completion: itself, or the content of a conversation's last message.

    Raises:
        TypeError: neither; the message names what came.
    """
    if isinstance(completion, str):
        return completion
    content = completion[-1].get("content") if completion else ""
    if content is None:
        return ""  # a message that only calls tools
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence) and all(isinstance(part, Mapping) for part in content):
        return "".join(part.get("text") or "" for part in content)
    raise TypeError(f"a message's content must be a string or a list of parts, got {type(content).__name__}")
