"""The countdown task: problems, verifier, and a tiny base model that has learnt the format but not the skill."""

from pathlib import Path

from abcgrpo.grading.verdict import Verdict
from abcgrpo.tasks.countdown.problems import Problem, Split, generate, verify
from abcgrpo.tasks.prompts import BARE
from abcgrpo.tasks.task import Row, SamplingDefaults, Task, TrainingData

BASE_MODEL = Path(__file__).parent / "base"
"""A `Qwen3ForCausalLM` with a character tokenizer, made by `abcgrpo.tasks.countdown.pretrain`."""

BENCHMARK_SEED = 2601
BENCHMARK_QUESTIONS = 128
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


def training_rows(data: TrainingData) -> list[Row]:
    """`data.count` problems (4,096 by default) of the training split, by its seed.

    Raises:
        UserError: options of a data set, since problems are generated.
    """
    data.refuse_data_set("countdown")
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
    grade=grade,
    held_out_rows=lambda count: rows("test", count or BENCHMARK_QUESTIONS, BENCHMARK_SEED),
    sampling=SamplingDefaults(max_new_tokens=48),
    graded_by=("numbers", "target"),
)

__all__ = ["BASE_MODEL", "TASK", "Problem", "generate", "rows", "verify"]
