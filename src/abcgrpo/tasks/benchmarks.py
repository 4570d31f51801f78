"""Benchmarks by name: where their problems are, how many there are, and what they hash to."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError, unknown_name
from abcgrpo.grading.grader import gold_text
from abcgrpo.tasks.prompts import problem_text
from abcgrpo.tasks.registry import FAMILIES, MATHEMATICS, TASKS, get_task
from abcgrpo.tasks.scores import Reward
from abcgrpo.tasks.sources import CLUSTER, SUFFIXES, HubDataset, is_file_name, read_file, read_hub
from abcgrpo.tasks.task import Row, Task


@dataclass(frozen=True)
class Known:
    """What is known of a benchmark before its problems are loaded."""

    hub: HubDataset
    problems: int
    sha256: str | None = None
    """`content_hash` of its problems; None if no copy was at hand to compute it from."""
    contests: Mapping[str, str] = field(default_factory=dict)
    """The contest that each problem is from, by the problem's `id`, where a copy has no address to tell it by."""


KNOWN = {
    "aime24": Known(
        HubDataset("HuggingFaceH4/aime_2024", "train"),
        30,
        "fc8d5d93833300e9c5e8b8d1a83a2959d843c86ae85548ab11550aafa84f3bbc",
    ),
    "aime25": Known(
        HubDataset("math-ai/aime25", "test"),
        30,
        "7e47398909f62264f28d6214db099ddc161f5841eeaa795fdc6b2a77e2375ba5",
        {str(number): f"2025_AIME_{'I' if number < 15 else 'II'}" for number in range(30)},
    ),
    "amc23": Known(
        HubDataset("math-ai/amc23", "test"), 40, "52a865b1b132b90baad5a0afa26288237ff39170a1cb3146b40446be61035f2b"
    ),
    "hmmt202502": Known(
        HubDataset("MathArena/hmmt_feb_2025", "train"),
        30,
        "6d17b1b058721dd01bffd27a4fdf817d44b2c0d9c07a77e8ccf0a1a25ab5c001",
    ),
    "gsm8k": Known(HubDataset("openai/gsm8k", "test", "main"), 1319),
    "math": Known(HubDataset("DigitalLearningGmbH/MATH-lighteval", "test"), 5000),
    "math500": Known(HubDataset("HuggingFaceH4/MATH-500", "test"), 500),
}
"""No revision is pinned: the content hash says more, and the number of problems holds if there is none."""

_CONTEST = re.compile(r"/(\w+)_Problems/Problem_\d+$")
"""The contest in the address of a problem on artofproblemsolving.com, such as 2024_AIME_II."""

COPIES = "ABCGRPO_DATA"
"""Environment variable: a directory of copies, for work without the hub."""


@dataclass(frozen=True)
class Benchmark:
    """Problems to be measured on."""

    name: str
    task: Task
    rows: list[Row] = field(repr=False)
    """Each with `problem` and its other columns."""
    graded: list[Row] = field(repr=False)
    """Rows with `id` (its name in samples), `problem`, and the columns that grade."""
    source: str

    @property
    def ids(self) -> list[str]:
        """What samples call each row."""
        return [row["id"] for row in self.graded]

    @property
    def sha256(self) -> str:
        """Hash of the problems and the columns that grade them, in their order."""
        return rows_hash(self.graded)


def names() -> list[str]:
    """The benchmarks that have names: published ones, and the tasks that hold problems of their own back."""
    return [*KNOWN, *(name for name in TASKS if name != MATHEMATICS)]


def load_benchmark(
    name: str | dict[str, Any],
    data: Path | None = None,
    questions: int | None = None,
    task: Task | None = None,
    rewards: Sequence[Reward] = (),
) -> Benchmark:
    """A benchmark by name, the problems that a task holds out, or a JSONL or Parquet file by path.

    Args:
        name: one of `names()`, what `get_task` understands, or a path that ends in .jsonl or .parquet.
        data: a directory of copies, `<name>/test.jsonl` or `<name>.jsonl` (or .parquet), instead of the hub; by default
            the one that the environment variable ABCGRPO_DATA names, if it is set.
        questions: number of problems, from the first. None: all problems; for a generator, the task's usual number.
        task: what grades the rows of a file; by default mathematics, as published benchmarks are.
        rewards: your own reward functions. The first one grades instead of the task.

    Raises:
        UserError: an unknown name, problems that cannot be loaded or used, another number or content hash of them than
            is known, or fewer than `questions`.
    """
    _require_name(name)
    if isinstance(name, str) and is_file_name(name):
        return _of_file(Path(name), questions, _rewarded(task or get_task(MATHEMATICS), rewards))
    if isinstance(name, str) and name in KNOWN:
        return _known(name, data, questions, _rewarded(get_task(MATHEMATICS), rewards))
    held_back = _rewarded(get_task(name), rewards)
    if held_back.held_out_rows is None:
        raise UserError(
            f"task {held_back.name} has no held-out problems: name a benchmark, such as "
            f"{next(iter(KNOWN))}, or a .jsonl or .parquet file of them."
        )
    rows = held_back.held_out_rows(questions)
    return _identified(held_back.name, held_back, rows, f"held back by {held_back.found_by}")


def file_grader(benchmark: str, task: Task) -> Task | None:
    """What an experiment on `task` grades its benchmark by: the task itself, if that is a file and the task takes one.

    None for what says itself how it is graded. A file beside a task that generates its problems is mathematics.
    """
    return task if is_file_name(benchmark) and task.checked_rows else None


def load_benchmarks(
    wanted: Sequence[str],
    data: Path | None = None,
    questions: int | None = None,
    task: Task | None = None,
    rewards: Sequence[Reward] = (),
) -> list[Benchmark]:
    """Several benchmarks; see `load_benchmark`.

    Raises:
        UserError: also two of the same name, and a directory of copies that nothing is taken from.
    """
    for name in wanted:
        _require_name(name)
    if task is not None and not any(is_file_name(name) for name in wanted):
        raise UserError(f"The task {task.name} has no effect: it grades files, and {', '.join(wanted)} is not a file.")
    if data is not None and not any(name in KNOWN for name in wanted):
        raise UserError(f"The copies in {data} have no effect: none of {', '.join(wanted)} is taken from them.")
    loaded = [load_benchmark(name, data, questions, task, rewards) for name in wanted]
    found = [benchmark.name for benchmark in loaded]
    if repeated := sorted({name for name in found if found.count(name) > 1}):
        raise UserError(f"Two benchmarks have the same name ({', '.join(repeated)}): give each its own --output.")
    return loaded


def _rewarded(task: Task, rewards: Sequence[Reward]) -> Task:
    return task.rewarded_by(rewards) if rewards else task


def _known(name: str, data: Path | None, questions: int | None, task: Task) -> Benchmark:
    known = KNOWN[name]
    directory = data or (Path(os.environ[COPIES]) if COPIES in os.environ else None)
    copy = _copy(name, directory) if directory else None
    source = str(copy) if copy else f"{known.hub.name}, split {known.hub.split}"
    rows = _checked(task, read_file(copy) if copy else read_hub(known.hub), source)
    _require_known(name, known, rows, source)
    rows = _with_contests(rows, known.contests)
    return _numbered(name, task, rows, source, questions)


def _of_file(path: Path, questions: int | None, task: Task) -> Benchmark:
    if path.stem in names():
        raise UserError(f"{path} would be reported as {path.stem} without being checked: rename it, or use --data.")
    return _numbered(path.stem, task, _checked(task, read_file(path), str(path)), str(path), questions)


def _checked(task: Task, rows: Iterable[Row], source: str) -> list[Row]:
    if task.checked_rows is None:
        raise UserError(f"{source}: task {task.name} generates its problems and grades no others.")
    return task.checked_rows(list(rows), source)


def _numbered(name: str, task: Task, rows: list[Row], source: str, questions: int | None) -> Benchmark:
    if questions is not None:
        if questions > len(rows):
            raise UserError(f"{name} has {len(rows)} problems, not {questions}.")
        rows = rows[:questions]
    return _identified(name, task, rows, source)


def _identified(name: str, task: Task, rows: list[Row], source: str) -> Benchmark:
    """Each row called by the `id` that a task's generator gives it, or by what its problem says."""
    generated = task.checked_rows is None
    ids = [
        row["id"] if generated else f"{name}/{_digest(_canonical(problem_text(row['problem'])))[:10]}" for row in rows
    ]
    if len(set(ids)) < len(ids):
        raise UserError(f"{source}: two problems differ only in spaces, dollar signs and braces.")
    graded = [
        {"id": each, "problem": row["problem"]} | task.truth_columns(row) for each, row in zip(ids, rows, strict=True)
    ]
    return Benchmark(name, task, rows, graded, source)


def content_hash(rows: Sequence[dict[str, Any]]) -> str:
    """SHA-256 of all problems with their golds.

    It does not see the order of the rows, other columns, whitespace, dollar signs, braces, the Unicode form of a
    character, or whether a number is written 27, 27.0, "27" or "027": copies of one benchmark differ in these.
    """
    lines = [f"{_canonical(row['problem'])}\t{_canonical_gold(row['answer'])}\n" for row in rows]
    return _digest("".join(sorted(lines)))


def _require_name(name: str | dict[str, Any]) -> None:
    """Refuse what can be neither a benchmark's name, nor a file's, nor a task's.

    Raises:
        UserError: it is neither.
    """
    if not isinstance(name, str) or name in names() or is_file_name(name) or name.startswith("{"):
        return
    is_task = name == MATHEMATICS or name.endswith(".py") or "." in name or ":" in name
    if not is_task and name.partition("/")[0] not in FAMILIES:
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


def _with_contests(rows: list[Row], contests: Mapping[str, str]) -> list[Row]:
    """The rows with the contest that each is from as its cluster, where that is known of all of them."""
    if any(CLUSTER in row for row in rows):
        return rows
    addresses = [_CONTEST.search(str(row.get("url"))) for row in rows]
    found = [
        match[1] if match else contests.get(str(row.get("id"))) for match, row in zip(addresses, rows, strict=True)
    ]
    if None in found:
        return rows
    return [row | {CLUSTER: contest} for row, contest in zip(rows, found, strict=True)]


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


def rows_hash(rows: Sequence[Row]) -> str:
    """SHA-256 of rows as they are, in their order."""
    return _digest(repr(list(rows)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
