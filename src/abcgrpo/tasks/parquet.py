"""Problems as the Parquet rows that verl reads, and back to what the grader needs.

A row is `data_source`, `prompt` (messages), `reward_model` (`ground_truth`) and `extra_info` (`index`, `task`). The
ground truth is text, so that files of different tasks have one schema: see `Task.truth`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.files import replaced
from abcgrpo.tasks.prompts import PromptTemplate
from abcgrpo.tasks.registry import MATHEMATICS, TASKS, get_task
from abcgrpo.tasks.task import Row, Task


def verl_rows(
    rows: Sequence[Row], template: PromptTemplate, task: Task, data_source: str | None = None
) -> list[dict[str, Any]]:
    """The rows as verl has them, in their order.

    verl puts every prompt through a chat template. A plain prompt becomes one user message all the same, and needs a
    model whose chat template adds nothing to it.

    Args:
        rows: the task's rows, each with `problem` and the columns that grading needs.
        template: how a problem is put to a model.
        task: what grades; named in `extra_info`, for the reward.
        data_source: what verl's metrics call these rows: a benchmark's name. Default: the task's.
    """
    return [
        {
            "data_source": data_source or task.name,
            "prompt": _messages(template, row["problem"]),
            "reward_model": {"ground_truth": task.truth(row)},
            "extra_info": {"index": index, "task": task.found_by},
        }
        for index, row in enumerate(rows)
    ]


def graded_row(data_source: str, truth: str, task: str | None = None) -> tuple[Task, Row]:
    """The task that grades a row, and the columns that it grades by.

    Rows that `verl_rows` made say which task that is. Of others, those of verl's own scripts included, the data source
    does if it is a task's name; if not they are mathematics, and their ground truth is the answer.

    Raises:
        ValueError: a ground truth that is not what the task writes.
    """
    found = get_task(task or (data_source if data_source in TASKS else MATHEMATICS))
    return found, found.row_of_truth(truth)


def write_parquet(rows: list[dict[str, Any]], path: Path) -> None:
    """Write rows to a Parquet file, whole or not at all.

    Raises:
        UserError: another suffix than .parquet.
    """
    import pyarrow
    import pyarrow.parquet

    if path.suffix != ".parquet":
        raise UserError(f"{path} should end in .parquet.")
    with replaced(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), temporary)


def _messages(template: PromptTemplate, problem: Any) -> list[dict[str, str]]:
    prompt = template.render(problem)
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
