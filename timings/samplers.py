"""Tokens per second of the samplers on this machine, in turns, on the same countdown problems.

    python timings/samplers.py --model BASE --repeat 3 --json samplers.json

Every problem of the test set gets one answer at temperature 1; answers end by themselves and are short. vLLM runs on
NVIDIA GPUs, and on CPUs in the environment of `make test-vllm`, whose model is the shipped base with heads that vLLM
has kernels for:

    make .venv-vllm/.ready
    .venv-vllm/bin/python timings/samplers.py --padded-base runs/padded --repeat 3
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

from abcgrpo.evaluation.samplers import open_sampler
from abcgrpo.evaluation.sampling import Sampling
from abcgrpo.tasks.countdown import generate
from abcgrpo.tasks.generated import distinct_rows

SAMPLERS = ("transformers", "vllm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--model", help="a directory or hub id")
    chosen.add_argument("--padded-base", type=Path, help="write the shipped base with heads of 32 there, and take it")
    parser.add_argument("--problems", type=int, default=512, help="answers of one turn")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each, after one that warms up")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    model = options.model
    if options.padded_base:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        from abcgrpo.tasks.countdown import BASE_MODEL
        from tests.vllm.cpu import ENVIRONMENT
        from tests.vllm.padded_heads import pad_heads

        os.environ.update(ENVIRONMENT)
        model = str(pad_heads(BASE_MODEL, options.padded_base, 32))
    prompts = [row["problem"] for row in distinct_rows(generate, "test", options.problems, 1)]
    sampling = Sampling(temperature=1.0, max_new_tokens=48)
    started = {}
    samplers = {}
    for name in SAMPLERS:
        start = time.perf_counter()
        samplers[name] = open_sampler(name, model, sampling)
        started[name] = time.perf_counter() - start
    rates: dict[str, list[float]] = {name: [] for name in SAMPLERS}
    for turn in range(options.repeat + 1):
        for name in SAMPLERS if turn % 2 else reversed(SAMPLERS):
            seeds = [turn * len(prompts) + index for index in range(len(prompts))]
            start = time.perf_counter()
            answers = samplers[name].sample(prompts, seeds)
            seconds = time.perf_counter() - start
            if turn:
                rates[name].append(sum(answer.tokens for answer in answers) / seconds)
    figures = {
        name: {
            "tokens_per_second": statistics.median(found),
            "from": min(found),
            "to": max(found),
            "start_seconds": started[name],
            "dtype": samplers[name].dtype,
        }
        for name, found in rates.items()
    }
    for name, found in figures.items():
        print(
            f"{name:12}  {found['tokens_per_second']:8,.0f} tokens/s ({found['from']:,.0f} – {found['to']:,.0f}), "
            f"start {found['start_seconds']:.1f} s, {found['dtype']}"
        )
    if options.json:
        options.json.write_text(json.dumps({"problems": options.problems, "samplers": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
