r"""Mathematics with one final answer in a \boxed{}: rows from the hub or a file, graded by `abcgrpo.grading`."""

import logging
import random
from collections.abc import Iterable
from pathlib import Path

from abcgrpo.errors import UserError
from abcgrpo.grading import RowChecker, Verdict, grade_batch
from abcgrpo.grading.grader import gold_text, parse_golds
from abcgrpo.grading.rows import require_rows
from abcgrpo.tasks.prompts import THE_PAPERS, problem_text
from abcgrpo.tasks.sources import HubDataset, is_file_name, read_file, read_hub, with_problem_and_answer
from abcgrpo.tasks.task import Row, SamplingDefaults, Task, TrainingData

logger = logging.getLogger(__name__)


def training_rows(data: TrainingData) -> list[Row]:
    """Rows with `problem`, `answer` and other columns: all in their order, or `data.count` that its seed draws.

    A problem that comes again with the same answer is left out, and a warning counts those.

    Raises:
        UserError: no `dataset_name`, rows that cannot be loaded or used, or fewer than are wanted.
    """
    if data.dataset_name is None:
        raise UserError(
            "task mathematics needs dataset_name: a data set of the hub such as open-r1/DAPO-Math-17k-Processed, or a "
            ".jsonl or .parquet file with problem and answer columns."
        )
    if is_file_name(data.dataset_name):
        if data.dataset_config is not None:
            raise UserError(f"dataset_config={data.dataset_config!r} has no effect on a file ({data.dataset_name}).")
        rows = read_file(Path(data.dataset_name).expanduser())
    else:
        rows = read_hub(HubDataset(data.dataset_name, config=data.dataset_config))
    numbered = _distinct(with_problem_and_answer(rows, data.dataset_name), data.dataset_name)
    rows = list(numbered.values())
    if data.skip_unusable_rows:
        rows = _usable(numbered, data.dataset_name)
    else:
        try:
            require_rows(rows, data.dataset_name, numbers=numbered)
        except ValueError as error:
            raise UserError(f"{error}\nTo train on the others, set skip_unusable_rows: true.") from None
    if data.count is None:
        return rows
    if data.count > len(rows):
        raise UserError(f"num_problems={data.count}: {data.dataset_name} has {len(rows)} usable problems.")
    return random.Random(data.seed).sample(rows, data.count)


def _distinct(rows: Iterable[Row], source: str) -> dict[int, Row]:
    """Each problem with its answer once, the first time that it comes, by the number of its row."""
    distinct: dict[tuple[str, str], tuple[int, Row]] = {}
    total = 0
    for number, row in enumerate(rows):
        total = number + 1
        problem = row["problem"]
        text = problem_text(problem) if isinstance(problem, list) else str(problem)
        distinct.setdefault((" ".join(text.split()), str(row["answer"])), (number, row))
    if len(distinct) < total:
        repeated = total - len(distinct)
        logger.warning("%s: %d of %d rows repeat an earlier one and are left out", source, repeated, total)
    return dict(distinct.values())


def _usable(rows: dict[int, Row], source: str) -> list[Row]:
    """The rows that nothing is wrong with; the numbers of the others are listed in a warning."""
    checker = RowChecker()
    sound = [not checker.problems(number, row) for number, row in rows.items()]
    parsed = parse_golds([gold_text(row["answer"]) for row in rows.values()])
    kept = {number: row for (number, row), fine, ok in zip(rows.items(), sound, parsed, strict=True) if fine and ok}
    if bad := [number for number in rows if number not in kept]:
        listed = ", ".join(map(str, bad[:10])) + (", …" if len(bad) > 10 else "")
        logger.warning(
            "%s: %d of %d rows cannot be used and are left out: rows %s", source, len(bad), len(rows), listed
        )
    if not kept:
        raise UserError(f"{source} has no row that can be used.")
    return list(kept.values())


def grade(texts: list[str], rows: list[Row]) -> list[Verdict]:
    """A verdict for each answer to the row beside it."""
    return grade_batch(texts, [row["answer"] for row in rows])


def checked_rows(rows: Iterable[Row], source: str) -> list[Row]:
    """Rows to be measured on, with `problem`, `answer` and their other columns.

    Raises:
        UserError: rows that cannot be used.
    """
    rows = list(with_problem_and_answer(rows, source))
    try:
        require_rows(rows, source)
    except ValueError as error:
        raise UserError(str(error)) from None
    return rows


TASK = Task(
    name="mathematics",
    template=THE_PAPERS,
    training_rows=training_rows,
    grade=grade,
    checked_rows=checked_rows,
    sampling=SamplingDefaults(temperature=0.6, top_p=0.95, top_k=20, max_new_tokens=4096),
    graded_by=("answer",),
)
"""Sampled as in the paper's evaluation; the length is that of its longest training completions."""
