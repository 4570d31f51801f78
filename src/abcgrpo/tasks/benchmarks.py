"""Benchmarks by name: where their problems are, how many there are, and what they hash to."""

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError, unknown_name
from abcgrpo.grading.grader import gold_text
from abcgrpo.grading.rows import require_rows
from abcgrpo.tasks import Row, Task, get_task
from abcgrpo.tasks.sources import SUFFIXES, HubDataset, is_file_name, read_file, read_hub


@dataclass(frozen=True)
class Known:
    """What is known of a benchmark before its problems are loaded."""

    hub: HubDataset
    problems: int
    sha256: str | None = None
    """`content_hash` of its problems; None where no copy was at hand to compute it from."""


KNOWN = {
    "aime24": Known(
        HubDataset("HuggingFaceH4/aime_2024", "train"),
        30,
        "fc8d5d93833300e9c5e8b8d1a83a2959d843c86ae85548ab11550aafa84f3bbc",
    ),
    "aime25": Known(
        HubDataset("math-ai/aime25", "test"), 30, "7e47398909f62264f28d6214db099ddc161f5841eeaa795fdc6b2a77e2375ba5"
    ),
    "amc23": Known(
        HubDataset("math-ai/amc23", "test"), 40, "52a865b1b132b90baad5a0afa26288237ff39170a1cb3146b40446be61035f2b"
    ),
    "hmmt202502": Known(
        HubDataset("MathArena/hmmt_feb_2025", "train"),
        30,
        "6d17b1b058721dd01bffd27a4fdf817d44b2c0d9c07a77e8ccf0a1a25ab5c001",
    ),
    "math500": Known(HubDataset("HuggingFaceH4/MATH-500", "test"), 500),
}
"""No revision is pinned: the content hash says more, and the number of problems holds where there is none."""

COPIES = "ABCGRPO_DATA"
"""Environment variable: a directory of copies, for work without the hub."""

COUNTDOWN = "countdown"
COUNTDOWN_QUESTIONS = 128


@dataclass(frozen=True)
class Benchmark:
    """Problems to be measured on."""

    name: str
    task: Task
    rows: list[Row] = field(repr=False)
    """Each with `id`, `problem`, and the columns that the task grades by."""
    source: str
    sha256: str
    """Of the rows as they are, in their order."""


def names() -> list[str]:
    """The benchmarks that have names."""
    return [*KNOWN, COUNTDOWN]


def load_benchmark(name: str, data: Path | None = None, questions: int | None = None) -> Benchmark:
    """A benchmark by name, or a JSONL or Parquet file by path.

    Args:
        name: one of `names()`, or a path that ends in .jsonl or .parquet.
        data: a directory of copies, `<name>/test.jsonl` or `<name>.jsonl` (or .parquet), instead of the hub; by default
            the one that the environment variable ABCGRPO_DATA names, if it is set.
        questions: the first so many; None for all (of countdown, which has no end, 128).

    Raises:
        UserError: an unknown name, problems that cannot be loaded or used, another number or content hash of them than
            is known, or fewer than `questions`.
    """
    _require_name(name)
    if name == COUNTDOWN:
        task = get_task(COUNTDOWN)
        rows = task.benchmark_rows(questions or COUNTDOWN_QUESTIONS)
        return Benchmark(name, task, rows, "generated", rows_hash(rows))
    if is_file_name(name):
        source, known = name, None
        rows = read_file(Path(name))
        name = Path(name).stem
        if name in names():
            raise UserError(f"{source} would be reported as {name} without being checked: rename it, or use --data.")
    else:
        known = KNOWN[name]
        directory = data or (Path(os.environ[COPIES]) if COPIES in os.environ else None)
        copy = _copy(name, directory) if directory else None
        source = str(copy) if copy else f"{known.hub.name}, split {known.hub.split}"
        rows = read_file(copy) if copy else read_hub(known.hub)
    try:
        require_rows(rows, source)
    except ValueError as error:
        raise UserError(str(error)) from None
    if known:
        _require_known(name, known, rows, source)
    if questions is not None:
        if questions > len(rows):
            raise UserError(f"{name} has {len(rows)} problems, not {questions}.")
        rows = rows[:questions]
    identified = [{"id": f"{name}/{_digest(_canonical(row['problem']))[:10]}"} | row for row in rows]
    if len({row["id"] for row in identified}) < len(identified):
        raise UserError(f"{source}: two problems differ in nothing but spaces, dollar signs and braces.")
    return Benchmark(name, get_task("mathematics"), identified, source, rows_hash(identified))


def load_benchmarks(wanted: Sequence[str], data: Path | None = None, questions: int | None = None) -> list[Benchmark]:
    """Several benchmarks; see `load_benchmark`.

    Raises:
        UserError: also two of the same name, and a directory of copies that nothing is taken from.
    """
    for name in wanted:
        _require_name(name)
    if data is not None and not any(name in KNOWN for name in wanted):
        raise UserError(f"The copies in {data} have no effect: none of {', '.join(wanted)} is taken from them.")
    loaded = [load_benchmark(name, data, questions) for name in wanted]
    found = [benchmark.name for benchmark in loaded]
    if repeated := sorted({name for name in found if found.count(name) > 1}):
        raise UserError(f"Two benchmarks are called {', '.join(repeated)}: evaluate them with an --output each.")
    return loaded


def content_hash(rows: Sequence[dict[str, Any]]) -> str:
    """SHA-256 of all problems with their golds.

    It does not see the order of the rows, other columns, whitespace, dollar signs, braces, the Unicode form of a
    character, or whether a number is written 27, 27.0, "27" or "027": copies of one benchmark differ in these.
    """
    lines = [f"{_canonical(row['problem'])}\t{_canonical_gold(row['answer'])}\n" for row in rows]
    return _digest("".join(sorted(lines)))


def _require_name(name: str) -> None:
    if name not in names() and not is_file_name(name):
        raise unknown_name("benchmark", name, names(), "benchmarks")


def _require_known(name: str, known: Known, rows: list[dict[str, Any]], source: str) -> None:
    if len(rows) != known.problems:
        raise UserError(f"{source}: {name} has {known.problems} problems, and here are {len(rows)}.")
    if known.sha256 and (found := content_hash(rows)) != known.sha256:
        raise UserError(
            f"{source}: these are not the problems and answers that are known as {name} (content hash {found[:12]}…, "
            f"not {known.sha256[:12]}…). To measure on them all the same, give a JSONL or Parquet file of them by its "
            f"path; figures then carry that file's name."
        )


def _copy(name: str, data: Path) -> Path:
    candidates = [data / f"{name}{middle}{suffix}" for middle in ("/test", "") for suffix in SUFFIXES]
    for path in candidates:
        if path.is_file():
            return path
    raise UserError(f"There is no copy of {name} in {data}: looked for {', '.join(map(str, candidates))}.")


def _canonical(problem: str) -> str:
    text = unicodedata.normalize("NFKC", problem)
    return "".join(character for character in text if not character.isspace() and character not in "${}")


def _canonical_gold(answer: object) -> str:
    text = gold_text(answer) or ""
    try:
        return str(Fraction(text))
    except (ValueError, ZeroDivisionError):
        return _canonical(text)


def rows_hash(rows: list[Row]) -> str:
    """SHA-256 of rows as they are, in their order."""
    return _digest(repr(rows))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
