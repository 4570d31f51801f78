"""What advantage estimators cost: their share of a countdown step, and their time per token.

    python timings/advantages.py
    python timings/advantages.py --json advantages.json

First, for each estimator, training steps of countdown in the shape of `countdown-study` (64 problems × 8 answers per
rollout, cut into 4 optimizer steps): CPU seconds of the estimator (with what every run measures of prefixes), of the
pass for the policy's distribution that some estimators need, and of the record of tokens, ÷ those of whole steps.
Then the estimators alone, on groups of 8 and of 64 responses whose prefixes are shared, from 64 to 4,096 tokens:
nanoseconds per token, and the slope of log time over log tokens from 256 tokens on, which is 1 where time is linear.
Each time is the fastest of several.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from step import countdown_trainer
from turns import now

from abcgrpo.advantages import ESTIMATORS, Groups, resolve_estimator
from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer

LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096)
LINEAR_FROM = 256
"""Below, the time is that of calling torch."""
SIZES = (8, 64)
ROWS = 64


def cpu_seconds(part: Any, *methods: str) -> list[float]:
    """Make these methods of an object add up their CPU seconds in what is returned, a list of one number."""
    spent = [0.0]

    def timed(method: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            start = now()[0]
            result = method(*arguments, **named)
            spent[0] += now()[0] - start
            return result

        return call

    for name in methods:
        setattr(part, name, timed(getattr(part, name)))
    return spent


def share_of_a_step(name: str | None, steps: int) -> dict[str, float]:
    """CPU seconds of an estimator, of its pass and of the record of tokens ÷ those of whole training steps.

    `name` None: advantages are TRL's, and what is left is what every run measures of prefixes.
    """
    trainer = countdown_trainer(ABCGRPOTrainer, ABCGRPOConfig, steps, advantages=name)
    passes = cpu_seconds(trainer.advantages, "_needed")
    estimating = cpu_seconds(trainer.advantages, "rollout_scored")
    (record,) = [component for component in trainer.components if component.name == "tokens"]
    recording = cpu_seconds(record, "loss_computed", "step_ends", "log_ends")
    start = now()[0]
    trainer.train()
    whole = now()[0] - start
    return {
        "estimator": (estimating[0] - passes[0]) / whole,
        "pass": passes[0] / whole,
        "record": recording[0] / whole,
    }


def rollout(size: int, length: int) -> Groups:
    """Responses of which each shares a prefix, of a length drawn for it, with the first of its group."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 1000, (ROWS, length), generator=generator)
    first = ids.view(-1, size, length)[:, :1].expand(-1, size, -1).reshape(ROWS, length)
    shared = torch.arange(length) < torch.randint(0, length, (ROWS, 1), generator=generator)
    distribution = torch.rand(3, ROWS, length, generator=generator)
    return Groups(
        torch.randint(0, 2, (ROWS,), generator=generator).float(),
        size,
        torch.where(shared, first, ids),
        torch.arange(length) < torch.randint(length // 2, length + 1, (ROWS, 1), generator=generator),
        -distribution[0],
        distribution[1],
        distribution[2],
    )


def nanoseconds_per_token(name: str, size: int, length: int, repeat: int) -> float:
    groups, estimator = rollout(size, length), resolve_estimator(name)
    times = []
    for _ in range(repeat + 1):
        start = time.process_time()
        for _ in range(max(1, 1024 // length)):
            estimator(groups)
        times.append((time.process_time() - start) / max(1, 1024 // length))
    return min(times[1:]) * 1e9 / (ROWS * length)


def slope(per_token: dict[int, float]) -> float:
    """Of log time over log tokens, by least squares."""
    points = [(math.log(n), math.log(value * n)) for n, value in per_token.items() if n >= LINEAR_FROM]
    centre = sum(x for x, _ in points) / len(points)
    return sum((x - centre) * y for x, y in points) / sum((x - centre) ** 2 for x, _ in points)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=16, help="optimizer steps of countdown; 4 make a rollout")
    parser.add_argument("--repeat", type=int, default=7, help="timed calls of each estimator and size")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    figures: dict[str, Any] = {"share_of_a_step": {}, "nanoseconds_per_token": {}}
    print("share of a countdown step: estimator, its pass, the record of tokens")
    for name in (None, *ESTIMATORS):
        shown = name or "TRL's, measured"
        share = figures["share_of_a_step"][shown] = share_of_a_step(name, options.steps)
        print(f"  {shown:<24} {share['estimator']:7.2%} {share['pass']:7.2%} {share['record']:7.2%}", flush=True)
    print(f"nanoseconds per token, {ROWS} responses of {', '.join(map(str, LENGTHS))} tokens; slope")
    for name in ESTIMATORS:
        for size in SIZES:
            found = {length: nanoseconds_per_token(name, size, length, options.repeat) for length in LENGTHS}
            figures["nanoseconds_per_token"][f"{name}, G = {size}"] = found | {"slope": slope(found)}
            shown = " ".join(f"{value:7.1f}" for value in found.values())
            print(f"  {name:<24} G = {size:<3} {shown}   {slope(found):.2f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
