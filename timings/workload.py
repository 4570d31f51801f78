"""The published runs' workload, shortened: the same rollouts for every trainer, without generating anything.

Completion lengths are log-normal with mean 1,500, truncated at 3,072; prompts have 60 to 300 tokens; half of the
groups have zero variance; 8 responses per prompt; a rollout is 4 optimizer steps of 4 micro-batches of 8 rows.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers
import trl.trainer.utils
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast, PrinterCallback, Qwen3Config, Qwen3ForCausalLM

from abcgrpo.trl.update.flops import ModelShape

GROUP = 8
ROWS = 8
MICRO_BATCHES = 4
STEPS = 4
"""Optimizer steps of a rollout."""
GROUPS = ROWS * MICRO_BATCHES * STEPS // GROUP
MEAN, LONGEST = 1500, 3072
PROMPTS = (60, 300)


@dataclass(frozen=True)
class Rollout:
    """One row per response, group by group."""

    prompts: list[list[int]]
    completions: list[list[int]]
    rewards: list[float]


def rollouts(scale: int, vocabulary: int, seed: int, zero: float = 0.5) -> Iterator[Rollout]:
    """Rollouts of the published shape with all lengths divided by `scale`, one after the other, without end."""
    rng = np.random.default_rng(seed)
    while True:
        lengths = completion_lengths(rng, GROUPS) // scale
        silent = rng.permutation(GROUPS) < round(zero * GROUPS)
        rows = Rollout([], [], [])
        for group in range(GROUPS):
            prompt_length = int(rng.integers(PROMPTS[0], PROMPTS[1] + 1)) // scale
            prompt = rng.integers(3, vocabulary, max(prompt_length, 2)).tolist()
            right = int(rng.integers(0, 2)) * GROUP if silent[group] else int(rng.integers(1, GROUP))
            for member in range(GROUP):
                rows.prompts.append(prompt)
                rows.completions.append(rng.integers(3, vocabulary, max(int(lengths[group, member]), 4)).tolist())
                rows.rewards.append(float(member < right))
        yield rows


def completion_lengths(rng: np.random.Generator, groups: int, mean: float = MEAN, spread: float = 0.75) -> np.ndarray:
    """(groups, GROUP) log-normal lengths, half of the variance between groups, truncated at LONGEST.

    The location is found by bisection so that the truncated mean is `mean`.
    """
    standard = np.random.default_rng(0).standard_normal(100_000)
    low, high = 0.0, np.log(LONGEST) + 3
    for _ in range(50):
        middle = (low + high) / 2
        below = np.minimum(np.exp(middle + spread * standard), LONGEST).mean() < mean
        low, high = (middle, high) if below else (low, middle)
    between, within = rng.standard_normal((groups, 1)), rng.standard_normal((groups, GROUP))
    return np.clip(np.exp(low + spread * (between + within) / np.sqrt(2)), 4, LONGEST).astype(int)


def trainer(host: type, rows: Iterator[Rollout], scale: int, steps: int, **settings: Any) -> Any:
    """A trainer that trains for `steps` optimizer steps on the rows; equal weights and seeds whatever the host."""
    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        # On a GPU TRL's head scores only tokens that count; on a CPU it scores padding, too. Both trainers get the
        # former, so that what is measured here is what happens there.
        trl.trainer.utils._use_triton = lambda _device: True
    transformers.logging.set_verbosity_error()
    model = tiny_model() if not on_gpu else paper_size_model()
    config_class = settings.pop("config_class")
    arguments = {
        "output_dir": tempfile.mkdtemp(),
        "report_to": [],
        "use_cpu": not on_gpu,
        "bf16": on_gpu,
        "save_strategy": "no",
        "disable_tqdm": True,
        "shuffle_dataset": False,
        "per_device_train_batch_size": ROWS,
        "gradient_accumulation_steps": MICRO_BATCHES,
        "steps_per_generation": MICRO_BATCHES * STEPS,
        "num_generations": GROUP,
        "max_completion_length": LONGEST // scale,
        "max_steps": steps,
        "logging_steps": steps,
        "loss_type": "grpo",
        "optim": "sgd",
        "learning_rate": 0.1,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "gradient_checkpointing": on_gpu,
    } | settings
    built = host(
        model=model,
        args=config_class(**arguments),
        reward_funcs=lambda completions, reward, **_: reward,
        train_dataset=Dataset.from_dict({"prompt": [f"t{3 + i}" for i in range(8 * GROUPS)]}),
        processing_class=_tokenizer(model.config.vocab_size),
        rollout_func=lambda _prompts, _trainer: _as_dict(next(rows)),
    )
    built.remove_callback(PrinterCallback)
    return built


def tiny_model() -> Qwen3ForCausalLM:
    """6 layers, width 256, vocabulary 4,096: small enough for two cores, large enough for matrix products to rule."""
    return _model(4096, 256, 768, 6, heads=4, key_heads=2, head_size=64)


def paper_size_model() -> Qwen3ForCausalLM:
    """Qwen3-1.7B's sizes with random weights, bfloat16, on the GPU."""
    return _model(151_936, 2048, 6144, 28, heads=16, key_heads=8, head_size=128).to("cuda", torch.bfloat16)


def bound(shape: ModelShape, rows: list[Rollout]) -> float:
    """FLOPs of all rows, padded as TRL pads them, over FLOPs of the tokens of rows with signal.

    TRL runs each row forward once for its old log-probs, forward and backward for the loss. Rows with signal need old
    log-probs in all optimizer steps of a rollout but the first.
    """
    stock = needed = 0.0
    for rollout in rows:
        lengths, completions = _lengths(rollout)
        width = torch.full_like(lengths, max(map(len, rollout.prompts)) + max(map(len, rollout.completions)))
        rewards = torch.tensor(rollout.rewards).view(-1, GROUP)
        signal = (rewards.amax(1) > rewards.amin(1)).repeat_interleave(GROUP)
        stock += shape.flops(width, completions, forwards=2, backwards=1, causal=False).sum().item()
        old = 1 - 1 / STEPS
        active = (lengths * signal, completions * signal)
        needed += shape.flops(*active, forwards=1 + old, backwards=1).sum().item()
    return stock / needed


def _lengths(rollout: Rollout) -> tuple[Tensor, Tensor]:
    completions = torch.tensor([len(ids) for ids in rollout.completions])
    return completions + torch.tensor([len(ids) for ids in rollout.prompts]), completions


def _as_dict(rows: Rollout) -> dict[str, Any]:
    return {
        "prompt_ids": rows.prompts,
        "completion_ids": rows.completions,
        "logprobs": None,
        "reward": rows.rewards,
    }


def _model(vocabulary: int, width: int, inner: int, layers: int, *, heads: int, key_heads: int, head_size: int):
    torch.manual_seed(0)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=key_heads,
            head_dim=head_size,
            max_position_embeddings=4096,
            tie_word_embeddings=False,
            eos_token_id=1,
            pad_token_id=0,
        )
    )


def _tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    words = {"<pad>": 0, "<eos>": 1, "<unk>": 2} | {f"t{i}": i for i in range(3, vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
