"""What the fast update can gain elsewhere: its bound for other shares of silent groups and other lengths.

    python measurements/expected_gain.py

Computed, not measured: FLOPs of stock TRL's passes over the FLOPs of the tokens of rows with signal, for Qwen3-1.7B's
sizes at full length (`workload.bound`). A second table deals the rows to 8 ranks and says what remains of it when every
rank waits for the slowest one at each micro-batch.
"""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "timings"))
from workload import GROUP, LONGEST, MICRO_BATCHES, PROMPTS, ROWS, STEPS, completion_lengths

from abcgrpo.trl.update.flops import ModelShape
from abcgrpo.trl.update.planning import plan_step

QWEN3_1_7B = ModelShape(linear=1_409_286_144, head=151_936 * 2048, attention=28 * 16 * 128)
SILENT = (0.0, 0.25, 0.5, 0.75)
"""Shares of groups without variance."""
LENGTHS = {"mean 1,500, as published": (1500, 0.75), "mean 750": (750, 0.75), "mean 2,500": (2500, 0.75)}
LENGTHS |= {"mean 1,500, nearly equal": (1500, 0.1), "mean 1,500, wider spread": (1500, 1.2)}
"""Mean and spread (of the logarithm) of completion lengths, truncated at 3,072 tokens."""
ROLLOUTS = 20


def draw(rng: np.random.Generator, ranks: int, silent: float, mean: float, spread: float):
    """Lengths, completion lengths and signal of the rows of one rollout on all ranks, in random order."""
    groups = ranks * ROWS * MICRO_BATCHES * STEPS // GROUP
    completions = completion_lengths(rng, groups, mean, spread).flatten()
    prompts = np.repeat(rng.integers(PROMPTS[0], PROMPTS[1] + 1, groups), GROUP)
    signal = np.repeat(rng.permutation(groups) >= round(silent * groups), GROUP)
    order = rng.permutation(len(completions))
    return [torch.from_numpy(values[order]) for values in (prompts, completions, signal)]


def gain(ranks: int, silent: float, mean: float, spread: float, exchange: bool = True) -> float:
    """Stock's time over ours, if time were FLOPs and every rank waited for the slowest at each micro-batch."""
    rng = np.random.default_rng(0)
    stock = ours = 0.0
    for _ in range(ROLLOUTS):
        prompts, completions, signal = draw(rng, ranks, silent, mean, spread)
        width = torch.full_like(prompts, int(prompts.max() + completions.max()))
        stock += QWEN3_1_7B.flops(width, completions, forwards=2, backwards=1, causal=False).sum().item() / ranks
        tokens = (prompts + completions) * signal
        for step, rows in enumerate(torch.arange(len(tokens)).chunk(STEPS)):
            passes = 1.0 if step == 0 else 2.0
            flops = QWEN3_1_7B.flops(tokens[rows], (completions * signal)[rows], forwards=passes, backwards=1)
            if exchange:
                plans = plan_step(tokens[rows].tolist(), ranks, MICRO_BATCHES)
            else:
                plans = torch.arange(len(rows)).view(ranks, MICRO_BATCHES, ROWS).tolist()
            ours += sum(max(flops[plan[turn]].sum().item() for plan in plans) for turn in range(MICRO_BATCHES))
    return stock / ours


def main() -> None:
    print("Bound on one rank, by share of silent groups:")
    print("| completion lengths | " + " | ".join(f"{share:.0%}" for share in SILENT) + " |")
    print("|---|" + "---|" * len(SILENT))
    for name, lengths in LENGTHS.items():
        print(f"| {name} | " + " | ".join(f"{gain(1, share, *lengths):.1f}" for share in SILENT) + " |")
    print(f"\nOn 8 ranks, published lengths (at most {LONGEST:,}), half of the groups silent:")
    for exchange in (False, True):
        print(f"- rows {'exchanged' if exchange else 'left where they are'}: {gain(8, 0.5, 1500, 0.75, exchange):.1f}")


if __name__ == "__main__":
    main()
