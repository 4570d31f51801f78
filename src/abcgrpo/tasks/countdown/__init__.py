"""The countdown task: problems, verifier, and a tiny base model that has learnt the format but not the skill."""

from pathlib import Path

from abcgrpo.errors import UserError
from abcgrpo.grading.verdict import Verdict
from abcgrpo.tasks import Row, Task, TrainingData, text_of
from abcgrpo.tasks.countdown.problems import Problem, Split, generate, verify
from abcgrpo.tasks.prompts import BARE

BASE_MODEL = Path(__file__).parent / "base"
"""A `Qwen3ForCausalLM` with a character tokenizer, made by `abcgrpo.tasks.countdown.pretrain`."""

BENCHMARK_SEED = 2601
DEFAULT_PROBLEMS = 4096


def rows(split: Split, count: int, seed: int) -> list[Row]:
    """`count` different problems of a split, as rows with columns id, problem, numbers and target."""
    problems: dict[Problem, None] = {}
    for problem, _ in generate(seed, split):
        if len(problems) == count:
            break
        problems.setdefault(problem)
    return [
        {
            "id": problem.prompt,
            "problem": problem.prompt,
            "numbers": list(problem.numbers),
            "target": problem.target,
        }
        for problem in problems
    ]


def countdown_reward(completions, numbers, target, **_) -> list[float | None]:
    """1.0 for a chain of correct steps to the target, else 0.0; TRL's signature."""
    return [
        float(verify(given, goal, text_of(completion)))
        for completion, given, goal in zip(completions, numbers, target, strict=True)
    ]


def training_rows(data: TrainingData) -> list[Row]:
    """`data.count` problems (4,096 by default) of the training split, by its seed.

    Raises:
        UserError: options of a data set, since problems are generated.
    """
    for name in ("dataset_name", "dataset_config", "skip_unusable_rows"):
        if getattr(data, name):
            raise UserError(f"{name} has no effect with task countdown, which generates its problems: leave it out.")
    return rows("train", data.count or DEFAULT_PROBLEMS, data.seed)


def grade(texts: list[str], rows: list[Row]) -> list[Verdict]:
    """A verdict for each chain of steps: exact or different, its answer the whole chain."""
    right = [verify(row["numbers"], row["target"], text) for text, row in zip(texts, rows, strict=True)]
    return [
        Verdict(correct, text.strip(), "exact" if correct else "different")
        for text, correct in zip(texts, right, strict=True)
    ]


TASK = Task(
    name="countdown",
    template=BARE,
    training_rows=training_rows,
    benchmark_rows=lambda count: rows("test", count, BENCHMARK_SEED),
    reward=countdown_reward,
    grade=grade,
)

__all__ = ["BASE_MODEL", "TASK", "Problem", "countdown_reward", "generate", "rows", "verify"]
