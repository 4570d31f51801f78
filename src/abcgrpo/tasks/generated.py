"""What tasks that generate their problems share: rows that differ, the split into training and test, verdicts."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from abcgrpo.errors import UserError
from abcgrpo.grading.verdict import Verdict
from abcgrpo.tasks.prompts import BARE
from abcgrpo.tasks.task import Row, SamplingDefaults, Task, TrainingData

Split = Literal["train", "test"]

BENCHMARK_SEED = 2601
BENCHMARK_QUESTIONS = 128
TRAINING_PROBLEMS = 4096

WINDOW, FEWEST_NEW = 10_000, 0.2
"""A task has no more problems to give where of as many that are drawn in a row a smaller share is new."""


class Problem(Protocol):
    """A problem that a generator draws; hashable, so that one that comes again is known."""

    @property
    def prompt(self) -> str:
        """What the model reads."""
        ...

    @property
    def columns(self) -> dict[str, Any]:
        """What an answer is graded by."""
        ...


Generator = Callable[[int, Split], Iterator[tuple[Any, str]]]
"""(seed, split) → endless problems, each with one solution; the same seed gives the same sequence on every platform."""


@dataclass(frozen=True)
class Base:
    """How the small base of a task is made: see `abcgrpo.tasks.pretrain`."""

    generate: Generator
    characters: str
    """All that prompts and solutions are written in; each is a token."""
    steps: int
    """Optimizer steps: as many as leave most answers wrong."""
    longest: int = 128
    """Positions of the model: prompt and answer together."""


def split_of(key: str) -> Split:
    """The split that a problem belongs to, by a hash of what it is: one in eight is for tests.

    So no seed can make a test problem appear in training.
    """
    return "test" if zlib.crc32(key.encode()) % 8 == 0 else "train"


def distinct_rows(generate: Generator, split: Split, count: int, seed: int) -> list[Row]:
    """`count` different problems of a split, as rows: id, problem, and the columns that grade.

    Raises:
        UserError: the generator does not have so many; see `WINDOW`.
    """
    problems: dict[Problem, None] = {}
    before = 0
    for drawn, (problem, _) in enumerate(generate(seed, split)):
        if len(problems) == count:
            break
        if drawn and drawn % WINDOW == 0:
            if len(problems) - before < FEWEST_NEW * WINDOW:
                raise UserError(
                    f"there are fewer than {count:,} different problems: after {len(problems):,}, four of five draws "
                    f"repeat an earlier one. Ask for at most {len(problems):,}."
                )
            before = len(problems)
        problems.setdefault(problem)
    return [{"id": each.prompt, "problem": each.prompt} | each.columns for each in problems]


def generated_task(
    name: str, generate: Generator, verify: Callable[..., bool], graded_by: tuple[str, ...], longest_answer: int
) -> Task:
    """A task of generated problems, put as they are, whose answers are right or wrong.

    Args:
        name: the task's.
        generate: its problems.
        verify: (answer, **columns) → whether it is right, on any text.
        graded_by: the columns.
        longest_answer: in tokens of its base.
    """

    def training_rows(data: TrainingData) -> list[Row]:
        data.refuse_data_set(name)
        try:
            return distinct_rows(generate, "train", data.count or TRAINING_PROBLEMS, data.seed)
        except UserError as error:
            raise UserError(f"num_problems={data.count}, task {name}: {error}") from error

    def grade(texts: list[str], rows: list[Row]) -> list[Verdict]:
        right = [
            verify(text, **{column: row[column] for column in graded_by}) for text, row in zip(texts, rows, strict=True)
        ]
        return [
            Verdict(correct, text.strip(), "exact" if correct else "different" if text.strip() else "no_answer")
            for text, correct in zip(texts, right, strict=True)
        ]

    return Task(
        name=name,
        template=BARE,
        training_rows=training_rows,
        grade=grade,
        held_out_rows=lambda count: distinct_rows(generate, "test", count or BENCHMARK_QUESTIONS, BENCHMARK_SEED),
        sampling=SamplingDefaults(max_new_tokens=longest_answer),
        graded_by=graded_by,
    )
