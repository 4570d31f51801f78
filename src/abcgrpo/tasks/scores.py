"""Verdicts from functions of your own: `grade(text, row)`, and rewards in TRL's signature."""

import ast
import asyncio
import hashlib
import inspect
import logging
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.grading.verdict import Verdict

logger = logging.getLogger(__name__)

Row = dict[str, Any]
Grade = Callable[[list[str], list[Row]], list[Verdict]]
"""(texts, rows) → a verdict for each text, as an answer to the row beside it."""
Reward = Callable[..., Any]
"""TRL's signature: (prompts, completions, **columns) → a number or None for each completion."""

RIGHT = 1.0
"""A score of this or more is a right answer."""


def code_of(functions: Sequence[Callable[..., Any]]) -> str:
    """SHA-256 of functions of your own: their names, and the files that they are in, as Python reads them.

    Comments and layout make no difference. What these files import is not looked at.
    """
    parts = []
    for function in functions:
        while isinstance(function, partial):
            function = function.func
        named = function if hasattr(function, "__qualname__") else type(function)
        try:
            source = ast.dump(ast.parse(Path(inspect.getsourcefile(inspect.unwrap(named)) or "").read_bytes()))
        except (OSError, TypeError, SyntaxError):  # built in, or typed in
            source = ""
        parts.append(f"{named.__module__}.{named.__qualname__}\n{source}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def grade_by_function(function: Callable[[str, Row], Any], name: str) -> Grade:
    """`grade(text, row)`, True, False or a score, as a grader; see `scored_verdicts`."""

    def grade(texts: list[str], rows: list[Row]) -> list[Verdict]:
        def scores(some_texts: list[str], some_rows: list[Row]) -> list[Any]:
            return [_number(function(text, row)) for text, row in zip(some_texts, some_rows, strict=True)]

        return scored_verdicts(scores, texts, rows, f"grade of {name}")

    return grade


def grade_by_reward(function: Reward, name: str) -> Grade:
    """A reward in TRL's signature as a grader: an answer is right where the reward is 1 or more.

    Of several rewards the first tells what is right; the others may shape training. A conversation is given for a
    prompt that is one, as TRL does. `completion_ids` and `trainer_state` are None: in an evaluation there are none.
    """

    def grade(texts: list[str], rows: list[Row]) -> list[Verdict]:
        def scores(some_texts: list[str], some_rows: list[Row]) -> list[Any]:
            return values_of_reward(function, some_texts, some_rows)

        return scored_verdicts(scores, texts, rows, f"{getattr(function, '__name__', 'the reward')} of {name}")

    return grade


def scored_verdicts(
    scores: Callable[[list[str], list[Row]], list[Any]], texts: list[str], rows: list[Row], what: str
) -> list[Verdict]:
    """Verdicts from the scores of your own function; a row that it fails on is wrong, with the reason `failed`.

    Raises:
        UserError: it fails on every one of several rows, or gives another number of scores: a mistake in the function.
    """
    try:
        found, errors = scores(texts, rows), []
    except Exception:
        found, errors = [], []
        for text, row in zip(texts, rows, strict=True):
            try:
                found += scores([text], [row])
            except Exception as error:
                found.append(None)
                errors.append(error)
    if len(found) != len(texts):
        raise UserError(f"{what} gave {len(found)} values for {len(texts)} answers: one for each is needed.")
    if errors:
        trace = "".join(traceback.format_exception(errors[0]))
        if len(errors) == len(texts) > 1:
            raise UserError(f"{what} failed on all of {len(texts)} answers. The first time:\n{trace}") from errors[0]
        logger.warning("%s failed on %d of %d answers. The first time:\n%s", what, len(errors), len(texts), trace)
    return [_verdict(text, score) for text, score in zip(texts, found, strict=True)]


def values_of_reward(function: Callable[..., Any], texts: list[str], rows: list[Row]) -> list[Any]:
    """What a reward in TRL's signature gives for answers to rows that have their `prompt`."""
    prompts = [row.get("prompt", row.get("problem", "")) for row in rows]
    completions = [
        text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]
        for text, prompt in zip(texts, prompts, strict=True)
    ]
    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(key for row in rows for key in row)}
    columns.pop("prompt", None)
    hooks = {"log_extra": lambda column, values: None, "log_metric": lambda name, value: None, "trainer_state": None}
    values = function(prompts=prompts, completions=completions, completion_ids=None, **columns, **hooks)
    if inspect.isawaitable(values):
        values = asyncio.run(_awaited(values))
    return list(values)


async def _awaited(values: Any) -> Any:
    return await values


def _verdict(text: str, score: Any) -> Verdict:
    if score is None:
        return Verdict(False, text.strip(), "failed")
    right = bool(score) if isinstance(score, bool) else float(score) >= RIGHT
    return Verdict(
        right, text.strip(), "exact" if right else "different" if text.strip() else "no_answer", float(score)
    )


def _number(score: Any) -> bool | float:
    if isinstance(score, bool):
        return score
    value = float(score)
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"a score is True, False or a finite number, not {value}")
    return value
