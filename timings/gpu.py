"""What is worth measuring in the first half hour on one GPU of 80 GB, without a network.

    python timings/gpu.py --output runs/gpu        # or: make gpu

Each part is a process of its own with a time limit, and is kept when it ends: a run that is stopped goes on with the
parts that are missing. OUTPUT/figures.json holds the figures, the device, the versions, the day and the commands.

| part     | what is measured                                                                                    |
|----------|-----------------------------------------------------------------------------------------------------|
| tests    | the tests that are marked `gpu`                                                                     |
| model    | one rollout's update at Qwen3-1.7B's size with AdamW: peak memory beside the dry run's estimate,    |
|          | tokens per second, and the share of the FLOP/s that a large matrix product reaches on this device   |
| update   | stock TRL beside the fast update at full length in bfloat16; with it packed attention beside the    |
|          | plain path, as the largest difference of a gradient                                                 |
| step     | whole steps of countdown: rollout by transformers (no vLLM), reward, update                         |
| profile  | the operators of an update                                                                          |

Without a GPU the same parts run on the CPU with a small model and short rows (`--scale 64`: the shortest). That shows
that they work; its figures say nothing about a GPU, and the memory estimate, whose tile of logits is a large
vocabulary's, is far above what the small model takes.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LIMITS = {"tests": 300, "model": 300, "update": 900, "step": 180, "profile": 180}
"""Seconds that a part may take: half an hour at most in all."""
PACKAGES = ("torch", "transformers", "trl", "abcgrpo")


def commands(scale: int, folder: Path) -> dict[str, list[str]]:
    """What each part runs; those that write figures write `folder`/PART.json."""
    python = [sys.executable]
    figures = {name: ["--json", str(folder / f"{name}.json")] for name in LIMITS}
    short = ["--scale", str(scale)]
    return {
        "tests": [*python, "-m", "pytest", "-q", "-m", "gpu", str(HERE.parent / "tests")],
        "model": [*python, str(HERE / "gpu.py"), "--part", *short, *figures["model"]],
        "update": [*python, str(HERE / "update_phase.py"), "--repeat", "1", *short, *figures["update"]],
        "step": [*python, str(HERE / "step.py"), "--steps", "4", *figures["step"]],
        "profile": [*python, str(HERE / "profile_update.py"), "--arm", "fast", *short],
    }


def run_part(name: str, command: list[str], folder: Path) -> dict[str, Any]:
    """Its figures, or why there are none; what it printed stays in `folder`/PART.txt."""
    log = folder / f"{name}.txt"
    start = time.monotonic()
    with log.open("w") as output:
        try:
            status: int | str = subprocess.run(command, stdout=output, stderr=output, timeout=LIMITS[name]).returncode
        except subprocess.TimeoutExpired:
            status = f"stopped after {LIMITS[name]} s"
    found: dict[str, Any] = {"command": " ".join(command), "status": status, "seconds": time.monotonic() - start}
    if (folder / f"{name}.json").exists():
        found["figures"] = json.loads((folder / f"{name}.json").read_text())
    elif name == "tests":
        counts = re.findall(r"(\d+) (passed|failed|skipped|error)", log.read_text())
        found["figures"] = {word: int(number) for number, word in counts}
    elif name == "profile":
        found["figures"] = {"printed": log.read_text().splitlines()}
    return found


def measure_model(scale: int) -> dict[str, Any]:
    """A rollout of four optimizer steps with AdamW, weights in float32 under autocast as in the recipes."""
    import torch
    from update_phase import ARMS, VOCABULARY, peak_of_training
    from workload import GROUP, STEPS, rollouts, trainer

    from abcgrpo.training.memory import estimate_memory
    from abcgrpo.trl.update.flops import ModelShape

    on_gpu = torch.cuda.is_available()
    rollout = next(rollouts(scale, VOCABULARY, 1))
    rows = rollouts(scale, VOCABULARY, 1)
    built = trainer(rows=rows, scale=scale, steps=STEPS, **ARMS["fast"], optim="adamw_torch", learning_rate=1e-6)
    model = built.accelerator.unwrap_model(built.model).float()
    start = time.perf_counter()
    peak = peak_of_training(built)
    if on_gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start

    lengths = torch.tensor([len(p) + len(c) for p, c in zip(rollout.prompts, rollout.completions, strict=True)])
    scored = torch.tensor([len(c) for c in rollout.completions])
    rewards = torch.tensor(rollout.rewards).view(-1, GROUP)
    signal = (rewards.amax(1) > rewards.amin(1)).repeat_interleave(GROUP)
    forwards = 2 - 1 / STEPS  # old log-probs are not computed for the first of the four steps
    needed = ModelShape.of(model).flops(lengths * signal, scored * signal, forwards=forwards, backwards=1).sum().item()
    reached = needed / seconds
    largest = matrix_product_rate(torch.bfloat16 if on_gpu else torch.float32)
    estimate = estimate_memory(model.config, built.args, max(map(len, rollout.prompts)), 1)
    expected = estimate["per_gpu"]["DDP"]["training_gib"]
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "rows": len(lengths),
        "rows_with_signal": int(signal.sum()),
        "tokens": int(lengths.sum()),
        "seconds": seconds,
        "tokens_per_second": int(lengths.sum()) / seconds,
        "flops_per_second": reached,
        "matrix_product_flops_per_second": largest,
        "share_of_matrix_product": reached / largest,
        "peak_memory_gib": peak / 2**30,
        "estimated_memory_gib": expected,
        "peak_over_estimate": peak / 2**30 / expected,
    }


def matrix_product_rate(dtype: Any) -> float:
    """FLOP/s of the fastest of ten products of two square matrices: what the device does when nothing is in the way."""
    import torch

    on_gpu = torch.cuda.is_available()
    size = 8192 if on_gpu else 1024
    left, right = (torch.randn(size, size, dtype=dtype, device="cuda" if on_gpu else "cpu") for _ in range(2))
    best = float("inf")
    for _ in range(10):
        if on_gpu:
            torch.cuda.synchronize()
        start = time.perf_counter()
        left @ right
        if on_gpu:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def device() -> str:
    """What the figures are of, asked of a process of its own so that this one holds no GPU."""
    code = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/gpu"), help="where figures go")
    parser.add_argument("--scale", type=int, choices=(64, 16, 8), default=16, help="lengths ÷ this; on a CPU only")
    parser.add_argument("--parts", nargs="+", choices=LIMITS, default=list(LIMITS), help="only these")
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        import torch

        scale = 1 if torch.cuda.is_available() else options.scale
        options.json.write_text(json.dumps(measure_model(scale), indent=2) + "\n")
        return
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "figures.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"parts": {}}
    known |= {
        "day": datetime.now(UTC).date().isoformat(),
        "device": device(),
        "scale_on_a_cpu": options.scale,
        "versions": {name: version(name) for name in PACKAGES},
    }
    for name, command in commands(options.scale, options.output).items():
        if name in options.parts and known["parts"].get(name, {}).get("status") != 0:
            print(f"{name}: {' '.join(command)}", flush=True)
            known["parts"][name] = run_part(name, command, options.output)
            path.write_text(json.dumps(known, indent=2) + "\n")
            print(
                f"{name}: status {known['parts'][name]['status']}, {known['parts'][name]['seconds']:.0f} s", flush=True
            )
    failed = [name for name, part in known["parts"].items() if part["status"] not in (0, 5)]  # 5: no test is marked
    print(f"Figures: {path}" + (f"; without: {', '.join(failed)}" if failed else ""))
    sys.exit(bool(failed))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
