"""The update phase: stock TRL beside this trainer, on identical rollouts of the published shape.

    python timings/update_phase.py --scale 16 --json update_phase.json

Stock is `trl.GRPOTrainer` with GRPO's loss; ours is `ABCGRPOTrainer` with GRPO's bounds, which is the same loss. Both
train on the same two rollouts (8 optimizer steps, the last of them logged, so that the cost of measuring entropy over
skipped rows is in the figures), `--repeat` times. They take turns at every optimizer step, so that what else the
machine does slows both alike. What is timed are whole optimizer steps: old log-probs, loss, backward pass, optimizer.
Before that, one untimed round compares the gradients of every step.

On a CPU: lengths ÷ `--scale`, a small model, float32, one thread. On a GPU: full length, bfloat16, the size of
Qwen3-1.7B with random weights.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from trl import GRPOConfig, GRPOTrainer
from turns import StepClock, train_in_turns
from workload import STEPS, bound, rollouts, trainer

from abcgrpo.rules.abc_grpo import Boundaries
from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer
from abcgrpo.trl.update.flops import ModelShape

ROLLOUTS = 2
EPS = 0.2
VOCABULARY = 4096


ARMS: dict[str, dict[str, Any]] = {
    "stock": {"host": GRPOTrainer, "config_class": GRPOConfig, "epsilon": EPS},
    "fast": {"host": ABCGRPOTrainer, "config_class": ABCGRPOConfig, **vars(Boundaries.grpo(EPS))},
}


def race(
    scale: int, seed: int, keep_gradients: bool = False, arms: Iterable[dict[str, Any]] = ARMS.values()
) -> list[StepClock]:
    """Train both arms on the rollouts of this seed."""
    steps = ROLLOUTS * STEPS
    trainers = [trainer(rows=rollouts(scale, VOCABULARY, seed), scale=scale, steps=steps, **arm) for arm in arms]
    return train_in_turns(trainers, keep_gradients)


def measure(scale: int, repeat: int) -> dict[str, Any]:
    """All figures of the benchmark."""
    stock, ours = (clock.gradients for clock in race(scale, 0, keep_gradients=True))
    assert len(stock) == len(ours) == ROLLOUTS * STEPS
    cpu, wall = [], []
    for turn in range(1, repeat + 1):
        slow, fast = race(scale, turn)
        cpu.append(slow.cpu / fast.cpu)
        wall.append(slow.wall / fast.wall)
        print(f"round {turn}: CPU time {cpu[-1]:.2f}×, wall time {wall[-1]:.2f}×", flush=True)
    seeds = range(1, repeat + 1)
    seen = [row for seed in seeds for row in itertools.islice(rollouts(scale, VOCABULARY, seed), ROLLOUTS)]
    limit = bound(_shape(scale), seen)
    memory = {arm: _peak_memory(arm, scale) for arm in ARMS}
    return {
        "scale": scale,
        "device": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"CPU, {torch.get_num_threads()} thread",
        "torch": torch.__version__,
        "cpu_ratio": _summary(cpu),
        "wall_ratio": _summary(wall),
        "bound": limit,
        "bound_share": statistics.median(wall if torch.cuda.is_available() else cpu) / limit,
        "peak_memory_ratio": memory["fast"] / memory["stock"],
        "max_gradient_error": gradient_error(stock, ours),
    }


def gradient_error(stock: list[dict[str, torch.Tensor]], ours: list[dict[str, torch.Tensor]]) -> float:
    """Over steps and weights: largest difference of a gradient ÷ the largest entry of stock's."""
    return max(
        ((our[name] - gradient).abs().max() / gradient.abs().max()).item()
        for our, their in zip(ours, stock, strict=True)
        for name, gradient in their.items()
        if gradient.any()
    )


def _peak_memory(arm: str, scale: int) -> float:
    """Bytes that training adds at most to what the process held before, in a process of its own."""
    command = [sys.executable, __file__, "--scale", str(scale), "--peak-memory", arm]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def _report_peak_memory(arm: str, scale: int) -> None:
    rows = rollouts(scale, vocabulary=VOCABULARY, seed=1)
    print(peak_of_training(trainer(rows=rows, scale=scale, steps=STEPS, **ARMS[arm])))


def peak_of_training(built: Any) -> int:
    """Train, and return the most bytes that were held: on a GPU all of it, on a CPU what training adds."""
    if torch.cuda.is_available():
        built.train()
        return torch.cuda.max_memory_allocated()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew here, after the imports (Linux)
    built.train()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    """A size from Linux's record of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def _shape(scale: int) -> ModelShape:
    built = trainer(rows=rollouts(scale, VOCABULARY, 0), scale=scale, steps=STEPS, **ARMS["stock"])
    return ModelShape.of(built.accelerator.unwrap_model(built.model))


def _summary(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scale", type=int, choices=(64, 16, 8), default=16, help="lengths are divided by this (CPU only)"
    )
    parser.add_argument("--repeat", type=int, default=5, help="timed rounds")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--peak-memory", choices=ARMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    scale = 1 if torch.cuda.is_available() else options.scale
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if options.peak_memory:
        _report_peak_memory(options.peak_memory, scale)
        return
    figures = measure(scale, options.repeat)
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
