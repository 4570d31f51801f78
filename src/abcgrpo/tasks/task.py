"""A task: one object that training, evaluation, experiments and exports share, so that they cannot disagree.

A row is a dictionary with a `problem` (text, or a conversation) and the columns that grading needs. `grade` tells how
good an answer to a row is; the reward of training is derived from it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.grading.rewards import completion_text, rewards_of
from abcgrpo.tasks.prompts import PromptTemplate
from abcgrpo.tasks.scores import Grade, Reward, Row, code_of, grade_by_reward


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

    def refuse_data_set(self, task: str) -> None:
        """For a task that generates its problems.

        Raises:
            UserError: an option of a data set is given.
        """
        for name in ("dataset_name", "dataset_config", "skip_unusable_rows"):
            if getattr(self, name):
                raise UserError(f"{name} has no effect with task {task}, which generates its problems: leave it out.")


@dataclass(frozen=True)
class SamplingDefaults:
    """How answers are drawn in an evaluation that says nothing else."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    """0 leaves every token in."""
    max_new_tokens: int = 1024
    """Length limit of an answer, in tokens."""


@dataclass(frozen=True)
class Task:
    """A kind of problem to train on and to be measured on."""

    name: str
    """In tables and in the names of directories."""
    template: PromptTemplate
    """How its problems are put to a model, unless another way is asked for."""
    training_rows: Callable[[TrainingData], list[Row]]
    """Rows to train on. An option that the task has no use for is an error."""
    grade: Grade
    held_out_rows: Callable[[int | None], list[Row]] | None = None
    """count → that many rows to be measured on (None: the usual number), always the same, none of them a training row;
    each has an `id`. None for a task that is measured on benchmarks or files only."""
    checked_rows: Callable[[list[Row], str], list[Row]] | None = None
    """(rows, source) → the rows of a file to be measured on, each with `problem`; raises UserError where they cannot be
    used. None for a task whose rows are generated."""
    sampling: SamplingDefaults = field(default_factory=SamplingDefaults)
    graded_by: tuple[str, ...] | None = None
    """The columns that `grade` reads: the truth of a row. None: all of them."""
    spec: str = ""
    """What `get_task` finds this task by again, as text. Default: the name."""
    code: str = ""
    """`code_of` the functions of your own that grade and reward; empty if this package's do."""
    own_rewards: tuple[Reward, ...] = ()
    """Rewards of training instead of the one that is derived from `grade`."""

    @property
    def found_by(self) -> str:
        """What `get_task` finds this task by, in another process too."""
        return self.spec or self.name

    @property
    def graded_with(self) -> str:
        """What changes when answers would be graded otherwise, by another task or by other code of your own."""
        return f"{self.found_by} {self.code}".strip()

    @cached_property
    def reward(self) -> Reward:
        """`grade` in TRL's signature: a verdict's score, else 1.0 for right and 0.0 for wrong, None if nothing can
        be said. What the grader said is logged, as by `abcgrpo.grading.accuracy_reward`."""

        def reward(completions, prompts=None, log_extra=None, log_metric=None, **columns):
            rows = rows_of_columns(columns, len(completions), prompts)
            verdicts = self.grade([completion_text(completion) for completion in completions], rows)
            return rewards_of(verdicts, [self.truth(row) for row in rows], log_extra, log_metric)

        reward.__name__ = "".join(c if c.isalnum() else "_" for c in self.name) + "_reward"
        return reward

    @property
    def rewards(self) -> list[Reward]:
        """What training is rewarded with."""
        return list(self.own_rewards) or [self.reward]

    def rewarded_by(self, functions: Sequence[Reward]) -> "Task":
        """This task with rewards of your own, by the first of which evaluation grades too: see `grade_by_reward`.

        A reward whose attribute `grades_answers` is False, such as a coin, says nothing of an answer: the task's own
        grade stays.
        """
        code = code_of(functions)
        if not getattr(functions[0], "grades_answers", True):
            return replace(self, own_rewards=tuple(functions), code=code)
        grade = grade_by_reward(functions[0], self.name)
        return replace(self, grade=grade, graded_by=None, own_rewards=tuple(functions), code=code)

    def truth_columns(self, row: Row) -> Row:
        """The columns of a row that it is graded by.

        Raises:
            ValueError: some are missing.
        """
        if self.graded_by is None:
            return {name: value for name, value in row.items() if name != "prompt"}
        if missing := [name for name in self.graded_by if name not in row]:
            raise ValueError(f"a row of {self.name} is graded by {', '.join(self.graded_by)}; {missing[0]} is missing")
        return {name: row[name] for name in self.graded_by}

    def truth(self, row: Row) -> str:
        """What a row is graded by, as one text: the value of a single column, several columns as JSON."""
        columns = self.truth_columns(row)
        if self.graded_by is not None and len(columns) == 1:
            return str(next(iter(columns.values())))
        return json.dumps(columns, default=str)

    def row_of_truth(self, truth: str) -> Row:
        """The columns that `truth` wrote.

        Raises:
            ValueError: it did not.
        """
        if self.graded_by is not None and len(self.graded_by) == 1:
            return {self.graded_by[0]: truth}
        columns = json.loads(truth)
        if not isinstance(columns, dict):
            raise ValueError(f"the ground truth of a {self.name} row is a JSON object of columns, not {truth[:80]!r}")
        return columns if self.graded_by is None else self.truth_columns(columns)


def with_prompts(rows: list[Row], template: PromptTemplate) -> list[Row]:
    """The rows as TRL's examples: each with its `prompt`."""
    return [row | {"prompt": template.render(row["problem"])} for row in rows]


def rows_of_columns(columns: dict[str, Any], count: int, prompts: Sequence[Any] | None = None) -> list[Row]:
    """Columns as TRL passes them to a reward, row by row; what is no column of that length is left out."""
    kept = {
        name: values for name, values in columns.items() if isinstance(values, list | tuple) and len(values) == count
    }
    if prompts is not None:
        kept["prompt"] = list(prompts)
    kept.pop("completion_ids", None)
    return [{name: values[at] for name, values in kept.items()} for at in range(count)]
