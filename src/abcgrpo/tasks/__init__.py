"""What models are trained and measured on: problems, their prompts, and the reward of an answer.

A task is rows, a prompt template and a grader. A row holds a `problem` and the columns that grading needs; the template
makes it what TRL calls an example, with a `prompt`. The same grader is behind the reward in training and the verdicts
of evaluation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError, unknown_name
from abcgrpo.grading.verdict import Verdict
from abcgrpo.tasks.prompts import PromptTemplate

Row = dict[str, Any]

_MODULES = {"countdown": "abcgrpo.tasks.countdown", "mathematics": "abcgrpo.tasks.mathematics"}


@dataclass(frozen=True)
class TrainingData:
    """Which problems to train on."""

    count: int | None = None
    """None: the task's own number, or all that there are."""
    seed: int = 0
    dataset_name: str | None = None
    """A data set of the hub, or a JSONL or Parquet file."""
    dataset_config: str | None = None
    """The configuration of a data set of the hub, where it has several."""
    skip_unusable_rows: bool = False
    """Leave rows out that cannot be used, with a warning; otherwise they are an error."""


@dataclass(frozen=True)
class Task:
    """A kind of problem to train on and to be measured on."""

    name: str
    template: PromptTemplate
    """How its problems are put to a model, unless another way is asked for."""
    training_rows: Callable[[TrainingData], list[Row]]
    """Rows to train on. What the task has no use for is an error."""
    benchmark_rows: Callable[[int], list[Row]]
    """count → that many rows to be measured on, always the same, none of them a training row; each has an `id`."""
    reward: Callable[..., list[float | None]]
    """(completions, **columns) → 1.0 for a right answer, 0.0 for a wrong one; None where it cannot be told."""
    grade: Callable[[list[str], list[Row]], list[Verdict]]
    """(texts, rows) → a verdict for each answer to the row beside it."""


def with_prompts(rows: list[Row], template: PromptTemplate) -> list[Row]:
    """The rows as TRL's examples: each with its `prompt`."""
    return [row | {"prompt": template.render(row["problem"])} for row in rows]


def get_task(name: str) -> Task:
    """The task of that name.

    Raises:
        UserError: there is none.
    """
    if name not in _MODULES:
        raise unknown_name("task", name, _MODULES, "task")
    return import_module(_MODULES[name]).TASK


def resolve_model(name: str) -> str:
    """A model's directory or hub id: `countdown-base` is the base that this package ships, the rest stays as it is.

    Raises:
        UserError: a path to a directory that is not there, or that holds no model.
    """
    if name == "countdown-base":
        from abcgrpo.tasks.countdown import BASE_MODEL

        return str(BASE_MODEL)
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"{name} is a directory without a model: it has no config.json.")
    elif name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"There is no model at {name}: no such directory.")
    return name


def text_of(completion: str | list[dict[str, Any]]) -> str:
    """The text of a completion: a string, or the last message of a conversation."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])
