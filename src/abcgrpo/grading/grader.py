"""The grader: extraction, exact comparison, and algebra in worker processes for what remains."""

import numbers
from collections.abc import Callable, Sequence

from abcgrpo.grading.exact import compare, makes_sense
from abcgrpo.grading.extraction import extract_answer, fallback_answer
from abcgrpo.grading.pool import EquivalenceCheck, Outcome, WorkerPool, shared_pool
from abcgrpo.grading.verdict import Reason, Verdict

_REASONS: dict[Outcome, Reason] = {
    "equal": "equivalent", "different": "different", "timeout": "timeout", "killed": "killed"
}  # fmt: skip

_checked_golds: dict[str, bool] = {}
"""Golds seen so far, and whether they make sense: each is looked at once per process."""
_MOST_CHECKED_GOLDS = 100_000


def grade(
    response: str,
    gold: object,
    *,
    fallback: bool = False,
    pool: WorkerPool | None = None,
) -> Verdict:
    r"""Grade one response; see `grade_batch`, which is the better choice for more than a few.

    >>> grade(r"so the answer is \boxed{0.5}.", r"\frac12")
    Verdict(correct=True, answer='0.5', reason='exact')
    """
    return grade_batch([response], [gold], fallback=fallback, pool=pool)[0]


def grade_batch(
    responses: Sequence[str],
    golds: Sequence[object],
    *,
    fallback: bool = False,
    pool: WorkerPool | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Verdict]:
    r"""Grade each response against the gold beside it; one verdict for each, in order, whatever the texts are.

    It blocks the calling thread for as long as the worker processes need, and works from any thread; from asyncio, use
    `await asyncio.to_thread(grade_batch, …)`.

    Args:
        responses: the texts that a model wrote.
        golds: the right answers: strings (LaTeX or plain; with a \boxed{…}, its content), ints, floats (27.0 is 27).
        fallback: for evaluation only, never for rewards: where a response has no box at all, take what it states after
            "answer is", or its last number. To report its effect, grade with and without.
        pool: the worker processes; by default this process's own, with 2 s of CPU time for one comparison.
        progress: called with the number of verdicts that are certain so far, now and then.

    Raises:
        ValueError: as many golds as responses are needed.
        TypeError: a response that is no string.
        RuntimeError: worker processes are needed and cannot start.
    """
    if len(responses) != len(golds):
        raise ValueError(f"{len(responses)} responses but {len(golds)} golds")
    pool = pool or shared_pool()
    texts = [gold_text(gold) for gold in golds]
    verdicts: list[Verdict | EquivalenceCheck] = [
        _without_algebra(response, text if parses else None, fallback)
        for response, text, parses in zip(responses, texts, parse_golds(texts), strict=True)
    ]
    # The same comparison, frequent in a group of samples, is made once.
    checks = list(dict.fromkeys(verdict for verdict in verdicts if isinstance(verdict, EquivalenceCheck)))
    certain = sum(isinstance(verdict, Verdict) for verdict in verdicts)
    if progress:
        progress(certain)
    outcomes = dict(zip(checks, pool.run(checks, progress and (lambda done: progress(certain + done))), strict=True))
    return [
        verdict if isinstance(verdict, Verdict) else _after_algebra(verdict, outcomes[verdict]) for verdict in verdicts
    ]


def gold_text(gold: object) -> str | None:
    r"""A gold as text: 27.0 is "27", "\boxed{7}" is "7". None for what can be no answer at all.

    That is: neither a string nor a number, not finite, empty, with unbalanced braces, or a bool.
    """
    if isinstance(gold, str):
        text = (extract_answer(gold) or "") if "\\boxed" in gold or "\\fbox" in gold else gold.strip()
        return text if text.strip("$ .,;") and _balanced(text) else None
    if isinstance(gold, bool) or not isinstance(gold, numbers.Real):
        return None
    if isinstance(gold, numbers.Rational):
        return str(gold)
    number = float(gold)
    if number != number or number in (float("inf"), float("-inf")):
        return None
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def parse_golds(texts: Sequence[str | None]) -> list[bool]:
    """Whether each gold (as `gold_text` gives it) makes sense; no worker process is needed for that."""
    if len(_checked_golds) > _MOST_CHECKED_GOLDS:
        _checked_golds.clear()
    for text in dict.fromkeys(texts):
        if text is not None and text not in _checked_golds:
            _checked_golds[text] = makes_sense(text)
    return [text is not None and _checked_golds[text] for text in texts]


def _without_algebra(response: str, gold: str | None, fallback: bool) -> Verdict | EquivalenceCheck:
    """The verdict, or the comparison that only algebra can make. `gold` is None if it makes no sense."""
    if not isinstance(response, str):
        raise TypeError(f"a response must be a string, got {type(response).__name__}")
    answer = extract_answer(response)
    if answer is None and fallback:
        answer = fallback_answer(response)
    if gold is None:
        return Verdict(None, answer, "unparsable_gold")
    if answer is None:
        return Verdict(False, None, "no_answer")
    equal = compare(gold, answer)
    if equal is None:
        return EquivalenceCheck(gold, answer)
    return Verdict(equal, answer, "exact" if equal else "different")


def _after_algebra(check: EquivalenceCheck, outcome: Outcome) -> Verdict:
    return Verdict(outcome == "equal", check.answer, _REASONS[outcome])


def _balanced(text: str) -> bool:
    plain = text.replace("\\\\", "").replace("\\{", "").replace("\\}", "")
    depth = 0
    for character in plain:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0
