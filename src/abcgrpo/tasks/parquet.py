"""Problems as the Parquet rows that verl reads, and back to what the grader needs.

A row is `data_source`, `prompt` (messages), `reward_model` (`ground_truth`) and `extra_info` (`index`). The ground
truth is text, so that files of different tasks have one schema: the answer of a mathematical problem as it is, and the
columns that grading needs as JSON for any other task.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.tasks import Row, Task, get_task
from abcgrpo.tasks.prompts import PromptTemplate

NOT_GRADED = ("id", "problem", "prompt")


def verl_rows(rows: Sequence[Row], template: PromptTemplate, data_source: str) -> list[dict[str, Any]]:
    """The rows as verl has them, in their order.

    verl puts every prompt through a chat template. A plain prompt becomes one user message all the same, and needs a
    model whose chat template adds nothing to it.

    Args:
        rows: a task's rows, each with `problem` and the columns that grading needs.
        template: how a problem is put to a model.
        data_source: what verl's metrics and the reward call these rows: a task or a benchmark.
    """
    return [
        {
            "data_source": data_source,
            "prompt": _messages(template, row["problem"]),
            "reward_model": {"ground_truth": ground_truth(row)},
            "extra_info": {"index": index},
        }
        for index, row in enumerate(rows)
    ]


def ground_truth(row: Row) -> str:
    """What a response to a row is graded by, as one text; `graded_row` reads it."""
    if "answer" in row:
        return str(row["answer"])
    return json.dumps({name: value for name, value in row.items() if name not in NOT_GRADED})


def graded_row(data_source: str, truth: str) -> tuple[Task, Row]:
    """The task that grades a row of `data_source`, and the columns that it grades by.

    Rows of countdown say so; all others, those that verl's own scripts wrote included, are mathematics, and their
    ground truth is the answer.

    Raises:
        ValueError: a ground truth of countdown that is not what `ground_truth` writes.
    """
    if data_source != "countdown":
        return get_task("mathematics"), {"answer": truth}
    columns = json.loads(truth)
    if not isinstance(columns, dict) or not {"numbers", "target"} <= columns.keys():
        raise ValueError(f"the ground truth of a countdown row holds numbers and target, not {truth[:80]!r}")
    return get_task("countdown"), columns


def write_parquet(rows: list[dict[str, Any]], path: Path) -> None:
    """Write rows to a Parquet file, whole or not at all.

    Raises:
        UserError: another suffix than .parquet.
    """
    import pyarrow
    import pyarrow.parquet

    if path.suffix != ".parquet":
        raise UserError(f"{path} should end in .parquet.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _messages(template: PromptTemplate, problem: str) -> list[dict[str, str]]:
    prompt = template.render(problem)
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
