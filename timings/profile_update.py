"""Where the time of an update goes: operators of one optimizer step after the other, by self CPU (or GPU) time.

python timings/profile_update.py --arm fast --scale 16
"""

import argparse

import torch
from torch.profiler import ProfilerActivity, profile
from update_phase import ARMS
from workload import STEPS, rollouts, trainer

MATRIX_PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "flash_attention", "efficient_attention", "sdpa")
"""Operators that are matrix products, attention's among them; parts of names."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", choices=ARMS, default="fast")
    parser.add_argument("--scale", type=int, default=16, help="lengths are divided by this (CPU only)")
    parser.add_argument("--rows", type=int, default=15, help="operators to show")
    options = parser.parse_args()
    torch.set_num_threads(1)
    on_gpu = torch.cuda.is_available()
    scale = 1 if on_gpu else options.scale
    built = trainer(rows=rollouts(scale, 4096, seed=1), scale=scale, steps=STEPS, **ARMS[options.arm])
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if on_gpu else [])
    with profile(activities=activities) as recorded:
        built.train()
    events = recorded.key_averages()
    times = {event.key: event.self_device_time_total if on_gpu else event.self_cpu_time_total for event in events}
    total = sum(times.values())
    products = sum(time for name, time in times.items() if any(part in name for part in MATRIX_PRODUCTS))
    print(f"{options.arm}: {total / 1e6:.2f} s, of which matrix products {products / total:.1%}")
    for name, time in sorted(times.items(), key=lambda item: -item[1])[: options.rows]:
        print(f"{time / total:7.1%}  {name}")


if __name__ == "__main__":
    main()
