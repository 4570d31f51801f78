"""2,000 gradings in a training loop, every tenth of a hostile answer: how long steps take, and whether verdicts hold.

    python timings/rewards_under_load.py [--steps 20]

countdown-base is trained with the reward of task mathematics. What the model writes is replaced before grading by
answers whose verdicts are known (ordinary ones) or that hang, exhaust or break graders (`tests/grading/hostile.py`, 20
kinds); each step grades 100. The same steps without hostile answers stand beside them. Exit code 1 if a verdict is
wrong.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from datasets import Dataset
from transformers import PrinterCallback

sys.path.insert(0, str(Path(__file__).parents[1]))
from abcgrpo.grading import accuracy_reward
from abcgrpo.tasks import resolve_model
from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer
from tests.grading import hostile

ROWS = 100
"""Gradings per step."""


def load(rows: int, hostile_rows: bool) -> list[tuple[str, object, float]]:
    """Answers, golds and the rewards that they must get; with `hostile_rows` every tenth attacks."""
    ordinary = hostile.ordinary_pairs(rows)
    attacks = hostile.hostile_responses()
    answers = []
    for n, (response, gold) in enumerate(ordinary):
        if hostile_rows and n % 10 == 9:
            # The kinds in turn, so that every step meets half of them.
            answers.append((attacks[(n // 10) % 20 * 10 + n // 200 % 10], hostile.GOLD, 0.0))
        else:
            answers.append((response, gold, float(n % 4 != 3)))
    return answers


def train(answers: list[tuple[str, object, float]]) -> tuple[list[float], int]:
    """One optimizer step per ROWS answers. Returns the seconds of each step and the number of wrong verdicts."""
    place, wrong, ends = 0, 0, []

    def reward(completions: list[str], log_metric: Callable[[str, float], None], **_) -> list[float | None]:
        nonlocal place, wrong
        batch = answers[place : place + len(completions)]
        place += len(completions)
        rewards = accuracy_reward([a for a, _, _ in batch], [g for _, g, _ in batch], log_metric=log_metric)
        wrong += sum(given != right for given, (_, _, right) in zip(rewards, batch, strict=True))
        ends.append(time.monotonic())
        return rewards

    with tempfile.TemporaryDirectory() as folder:
        arguments = ABCGRPOConfig(
            folder, per_device_train_batch_size=ROWS, num_generations=4, max_completion_length=8, bf16=False,
            max_steps=len(answers) // ROWS, report_to=[], save_strategy="no", disable_tqdm=True, use_cpu=True,
            gradient_checkpointing=False, logging_steps=1, learning_rate=1e-6,
        )  # fmt: skip
        trainer = ABCGRPOTrainer(
            model=resolve_model("countdown-base"),
            reward_funcs=reward,
            args=arguments,
            train_dataset=Dataset.from_dict({"prompt": [f"{n},{n + 1},2:9>" for n in range(1, 101)]}),
        )
        trainer.remove_callback(PrinterCallback)
        started = time.monotonic()
        trainer.train()
    assert place == len(answers), f"{place} of {len(answers)} answers were graded"
    return [end - start for start, end in pairwise([started, *ends])], wrong


def main() -> None:
    """Print step times with and without hostile answers, and the number of wrong verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    steps = parser.parse_args().steps
    failed = 0
    for name, attacked in (("ordinary", False), ("10% hostile", True)):
        seconds, wrong = train(load(steps * ROWS, attacked))
        print(
            f"{name}: {steps * ROWS} gradings in {steps} steps, {wrong} wrong verdicts; seconds per step: median "
            f"{statistics.median(seconds):.2f}, longest {max(seconds):.2f}, first {seconds[0]:.2f}",
            flush=True,
        )
        failed += wrong
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
