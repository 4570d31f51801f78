"""What a row of data must be before anything is trained or evaluated on it: checked here, wherever data is loaded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from abcgrpo.grading.grader import gold_text, parse_golds

_MOST_SHOWN = 10


@dataclass
class RowChecker:
    """Checks rows one after another; remembers the prompts that it has seen. `check_rows` also reads the golds."""

    prompt_column: str = "problem"
    answer_column: str = "answer"
    longest_prompt: int = 20_000
    """In characters."""
    _seen: dict[str, int] = field(default_factory=dict, repr=False)

    def problems(self, index: int, row: Mapping[str, Any]) -> list[str]:
        """What is wrong with a row; empty if nothing is.

        The prompt must be a string (or a conversation whose messages have string contents) that is neither blank, too
        long, nor a row's before it; the answer a string or a finite number that `gold_text` accepts.
        """
        found = []
        prompt = _prompt_text(row.get(self.prompt_column))
        if prompt is None:
            kind = type(row.get(self.prompt_column)).__name__
            found.append(f"{self.prompt_column!r} must be a string or a conversation, got {kind}")
        elif not prompt.strip():
            found.append(f"{self.prompt_column!r} is empty")
        else:
            if len(prompt) > self.longest_prompt:
                found.append(f"{self.prompt_column!r} has {len(prompt)} characters, more than {self.longest_prompt}")
            first = self._seen.setdefault(" ".join(prompt.split()), index)
            if first != index:
                found.append(f"{self.prompt_column!r} repeats row {first}")
        answer = row.get(self.answer_column)
        if gold_text(answer) is None:
            found.append(f"{self.answer_column!r} is not an answer: {str(answer)[:80]!r} ({type(answer).__name__})")
        return found


def check_rows(
    rows: Iterable[Mapping[str, Any]],
    checker: RowChecker | None = None,
    numbers: Iterable[int] | None = None,
) -> list[str]:
    """What is wrong with a data set, one line for each finding ("row 3: …"); empty if nothing is.

    Every gold is read. `numbers` are those of the rows in their source, where some have been left out; by default they
    are counted from 0.
    """
    checker = checker or RowChecker()
    findings: list[str] = []
    texts: list[str | None] = []
    rows = list(rows)
    numbers = range(len(rows)) if numbers is None else list(numbers)
    for index, row in zip(numbers, rows, strict=True):
        findings += [f"row {index}: {problem}" for problem in checker.problems(index, row)]
        texts.append(gold_text(row.get(checker.answer_column)))
    for index, text, parses in zip(numbers, texts, parse_golds(texts), strict=True):
        if text is not None and not parses:
            findings.append(f"row {index}: {checker.answer_column!r} cannot be parsed: {text[:80]!r}")
    return findings


def require_rows(
    rows: Iterable[Mapping[str, Any]],
    source: str,
    checker: RowChecker | None = None,
    numbers: Iterable[int] | None = None,
) -> None:
    """`check_rows`, for loaders: nothing where all is well.

    Raises:
        ValueError: naming `source`, the number of findings and the first ten.
    """
    if findings := check_rows(rows, checker, numbers=numbers):
        shown = "\n".join(f"  {finding}" for finding in findings[:_MOST_SHOWN])
        more = f"\n  … and {len(findings) - _MOST_SHOWN} more" if len(findings) > _MOST_SHOWN else ""
        raise ValueError(f"{source}: {len(findings)} rows cannot be used as they are:\n{shown}{more}")


def _prompt_text(prompt: object) -> str | None:
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and all(isinstance(m, Mapping) and isinstance(m.get("content"), str) for m in prompt):
        return "\n".join(message["content"] for message in prompt)
    return None
