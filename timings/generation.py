"""Sampling on a CPU: `transformers`' own loop and ours, in turns, on the same prompts.

    python timings/generation.py --repeat 5 --json generation.json

- "rollout": that of `countdown-study`, 64 countdown problems × 8 answers of at most 48 tokens, by the base that travels
  with the package.
- "evaluation": 8 problems × 64 samples, as an evaluation batch of it.
- "larger, different prompts": a model of 25 million random weights, 16 different prompts, answers of 64 tokens of which
  none ends early: nothing that could be left out, only the cache that is not copied.

Ratios are `transformers`' CPU seconds over ours, of each pair; a ratio above 1 means that ours takes less.
"""

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, Qwen3Config, Qwen3ForCausalLM
from turns import now

from abcgrpo.generation import fast_generation
from abcgrpo.tasks import TrainingData, with_prompts
from abcgrpo.tasks.countdown import BASE_MODEL, TASK

COUNTDOWN = {"rollout": (64, 8), "evaluation": (8, 64)}


def workloads() -> dict[str, tuple[Any, dict[str, torch.Tensor], GenerationConfig]]:
    """Model, inputs and settings of each."""
    tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL, padding_side="left")
    base = AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.float32).eval()
    drawn = {"do_sample": True, "top_k": 0, "pad_token_id": tokenizer.pad_token_id}
    answers = GenerationConfig(max_new_tokens=48, eos_token_id=tokenizer.eos_token_id, **drawn)
    work = {}
    for name, (problems, samples) in COUNTDOWN.items():
        rows = with_prompts(TASK.training_rows(TrainingData(problems)), TASK.template)
        encoded = tokenizer([row["prompt"] for row in rows for _ in range(samples)], padding=True, return_tensors="pt")
        work[name] = (base, {key: encoded[key] for key in ("input_ids", "attention_mask")}, answers)
    torch.manual_seed(0)
    sizes = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8, "num_attention_heads": 8}
    larger = Qwen3ForCausalLM(Qwen3Config(vocab_size=2048, num_key_value_heads=4, head_dim=64, **sizes)).eval()
    ids = torch.randint(3, 2048, (16, 64))
    whole = GenerationConfig(max_new_tokens=64, eos_token_id=None, **drawn)
    work["larger, different prompts"] = (larger, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, whole)
    return work


def seconds(model: Any, inputs: dict[str, torch.Tensor], config: GenerationConfig, fast: bool, seed: int) -> float:
    """CPU seconds of one batch."""
    torch.manual_seed(seed)
    start = now()[0]
    if fast:
        with fast_generation(model):
            model.generate(**inputs, generation_config=config)
    else:
        model.generate(**inputs, generation_config=config)
    return now()[0] - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, help="pairs")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    figures = {}
    for name, work in workloads().items():
        pairs = []
        for turn in range(options.repeat + 1):
            order = (False, True) if turn % 2 else (True, False)
            spent = {fast: seconds(*work, fast, turn) for fast in order}
            pairs.append(spent)
        ratios = [pair[False] / pair[True] for pair in pairs[1:]]  # the first pair warms up
        figures[name] = {
            "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
            "cpu_seconds": {
                "transformers": statistics.median(pair[False] for pair in pairs[1:]),
                "ours": statistics.median(pair[True] for pair in pairs[1:]),
            },
        }
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
