"""The update phase with shadow rules beside the same without them: what does measuring other rules cost?

    python timings/shadow_rules.py --scale 16 --repeat 5

Two trainers with ABC-GRPO's rule train on the same rollouts in turns, step by step (`update_phase.py`); one measures
the default shadow rules, the other none. Printed is the CPU time of the first ÷ that of the second, − 1.
"""

import argparse
import os
import statistics
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from update_phase import race

from abcgrpo.shadow import DEFAULT_SHADOWS
from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer


def arm(shadow_rules: tuple[str, ...]) -> dict[str, Any]:
    """What the benchmark's trainer is made of."""
    return {"host": ABCGRPOTrainer, "config_class": ABCGRPOConfig, "shadow_rules": list(shadow_rules)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, choices=(64, 16, 8), default=16, help="lengths are divided by this")
    parser.add_argument("--repeat", type=int, default=5, help="timed rounds")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    race(options.scale, 0, arms=[arm(DEFAULT_SHADOWS), arm(())])  # untimed: what is done once is done here
    overheads = []
    for seed in range(1, options.repeat + 1):
        measured, plain = race(options.scale, seed, arms=[arm(DEFAULT_SHADOWS), arm(())])
        overheads.append(measured.cpu / plain.cpu - 1)
        print(f"round {seed}: {overheads[-1]:+.2%}", flush=True)
    print(
        f"{len(DEFAULT_SHADOWS)} shadow rules: {statistics.median(overheads):+.2%} of the update's CPU time "
        f"({min(overheads):+.2%} to {max(overheads):+.2%})"
    )


if __name__ == "__main__":
    main()
