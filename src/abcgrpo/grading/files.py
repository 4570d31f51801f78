"""Grading a file of responses: the work of `abcgrpo grade`."""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from abcgrpo.grading.grader import grade_batch
from abcgrpo.grading.pool import WorkerPool

_LINES_AT_ONCE = 2000


def grade_file(
    input: Path,
    output: Path,
    *,
    fallback: bool = False,
    pool: WorkerPool | None = None,
    show_progress: bool = True,
) -> Counter[str]:
    """Grade a JSONL file: each line has `gold` and `response`, and comes back with `correct`, `answer`, `reason` added.

    One line out for each line in, in order; other fields stay as they are. Written as ASCII with escapes, so that NUL
    and lone surrogates survive. `output` appears, complete, when all is graded: it is never half a file.

    Returns:
        How often each reason was given.

    Raises:
        FileNotFoundError: no such input.
        ValueError: a line that is no JSON object, or without `gold` or with a `response` that is no string; the message
            names the line. Nothing is written then.
    """
    reasons: Counter[str] = Counter()
    with _progress(input, show_progress) as at, _atomic(output) as out:
        for rows in _chunks(input):
            verdicts = grade_batch(
                [row["response"] for row in rows],
                [row["gold"] for row in rows],
                fallback=fallback,
                pool=pool,
                progress=partial(_advance, at, reasons.total()),
            )
            for row, verdict in zip(rows, verdicts, strict=True):
                graded = {
                    **row,
                    "correct": verdict.correct,
                    "answer": verdict.answer,
                    "reason": verdict.reason,
                }
                out.write(json.dumps(graded) + "\n")
                reasons[verdict.reason] += 1
            at(reasons.total())
    return reasons


def _advance(at: Callable[[int], None], before: int, certain: int) -> None:
    at(before + certain)


def _chunks(path: Path) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    with path.open("rb") as lines:  # bytes: U+2028 and the like end no line
        for number, line in enumerate(lines, 1):
            rows.append(_row(line, f"{path}, line {number}"))
            if len(rows) == _LINES_AT_ONCE:
                yield rows
                rows = []
    if rows:
        yield rows


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise ValueError(f"{where}: no JSON: {error}") from None
    if not isinstance(row, dict) or "gold" not in row or not isinstance(row.get("response"), str):
        raise ValueError(f"{where}: expected an object with the fields gold and response (a string)")
    return row


@contextmanager
def _atomic(path: Path) -> Iterator[TextIO]:
    """A file beside `path` that takes its name at the end, and is removed where there is an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii", newline="\n") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def _progress(path: Path, show: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, over the lines of the file."""
    if not show:
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with path.open("rb") as lines:
        total = sum(1 for _ in lines)
    columns = (TextColumn("grading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("grading", total=total)
        yield lambda done: bar.update(task, completed=done)
