"""The update phase under each clipping rule, beside the same with ABC-GRPO's: what does a rule cost?

    python timings/rules.py --repeat 2

The two trainers train on the same rollouts in turns, step by step (`update_phase.py`). Printed for every rule is the
CPU time of `abc_grpo` ÷ that of the rule: 1 is no difference, below 1 the rule costs more.
"""

import argparse
import os
import statistics

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from update_phase import race

from abcgrpo.rules import RULES
from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer


def arm(rule: str) -> dict[str, object]:
    """What the benchmark's trainer is made of, for a rule."""
    return {"host": ABCGRPOTrainer, "config_class": ABCGRPOConfig, "rule": rule}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, choices=(64, 16, 8), default=16, help="lengths are divided by this")
    parser.add_argument("--repeat", type=int, default=2, help="timed rounds of each rule")
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    for rule in options.rules:
        ratios = []
        for seed in range(1, options.repeat + 1):
            base, other = race(options.scale, seed, arms=[arm("abc_grpo"), arm(rule)])
            ratios.append(base.cpu / other.cpu)
        print(f"{rule:<16} {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})", flush=True)


if __name__ == "__main__":
    main()
