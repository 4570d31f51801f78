"""Trainers fed with canned rollouts, so that stock TRL and the fast update see exactly the same rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast, PrinterCallback, ProgressCallback, TrainerCallback
from trl import GRPOConfig

from tests.trl.models import tiny_qwen3

VOCABULARY = 97
EOS = 1
GROUP = 4


@dataclass
class Row:
    """One response: its prompt, its tokens, its reward; tokens that a tool wrote have mask 0."""

    prompt: list[int]
    completion: list[int]
    reward: float
    mask: list[int] | None = None


@dataclass
class Trained:
    """What a short run leaves behind."""

    trainer: Any
    gradients: list[dict[str, Tensor]]
    """One per optimizer step."""
    start: dict[str, Tensor]
    """Weights before training."""
    positions: dict[str, int]
    """Positions run through the model: "grad" with, "no_grad" without gradient."""

    @property
    def weights(self) -> dict[str, Tensor]:
        return {name: weight.detach() for name, weight in self.trainer.model.named_parameters()}

    @property
    def logs(self) -> list[dict[str, float]]:
        return [entry for entry in self.trainer.state.log_history if "loss" in entry]


def policy() -> PreTrainedModel:
    """The two-layer model that is trained by default."""
    return tiny_qwen3(vocab_size=VOCABULARY)


def rollouts(count: int, groups: int, *, zero: float = 0.5, longest: int = 24, seed: int = 0) -> list[list[Row]]:
    """`count` rollouts of `groups` groups; a share `zero` of the groups, all right or all wrong, has no signal."""
    rng = np.random.default_rng(seed)
    return [_rollout(rng, groups, round(zero * groups), longest) for _ in range(count)]


def train(
    host: type,
    canned: list[list[Row]],
    *,
    model: Callable[[], PreTrainedModel] = policy,
    adjust: Any = None,
    folder: str,
    config_class: type = GRPOConfig,
    **config: Any,
) -> Trained:
    """Train a tiny model on the canned rollouts.

    Args:
        host: the trainer's class.
        canned: this rank's rollouts, used in turn.
        model: makes the policy; called for each run.
        adjust: called with the trainer before training.
        folder: for output.
        config_class: `GRPOConfig` or a subclass.
        config: fields of it.
    """
    positions = {"grad": 0, "no_grad": 0}
    gradients: list[dict[str, Tensor]] = []

    class Gradients(TrainerCallback):
        def on_pre_optimizer_step(self, *_args, model, **_kwargs):
            named = model.named_parameters()
            gradients.append({n.removeprefix("module."): p.grad.clone() for n, p in named if p.grad is not None})

    trainer = build(host, model(), canned, folder, config_class, Gradients(), **config)
    trainer.model.get_input_embeddings().register_forward_hook(
        lambda _, inputs, __: positions.__setitem__(
            key := "grad" if torch.is_grad_enabled() else "no_grad", positions[key] + inputs[0].numel()
        )
    )
    if adjust:
        adjust(trainer)
    start = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    return Trained(trainer, gradients, start, positions)


def build(
    host: type,
    model: PreTrainedModel,
    canned: list[list[Row]],
    folder: str,
    config_class: type,
    callback: TrainerCallback,
    **config: Any,
):
    """A trainer over `canned`, on the CPU, in float32, with plain SGD unless told otherwise."""
    if config.get("beta"):  # the reference model is loaded from where the policy came from
        model.save_pretrained(folder)
        model.config._name_or_path = folder
    turn = iter(canned * 99)
    settings = {
        "output_dir": folder,
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "per_device_train_batch_size": GROUP,
        "gradient_accumulation_steps": 2,
        "steps_per_generation": 8,
        "num_generations": GROUP,
        "max_completion_length": 24,
        "max_steps": 4,
        "optim": "sgd",
        "learning_rate": 0.5,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "gradient_checkpointing": False,
        "shuffle_dataset": False,
    } | config
    trainer = host(
        model=model,
        args=config_class(**settings),
        reward_funcs=lambda completions, reward, **_: reward,
        train_dataset=Dataset.from_dict({"prompt": [f"t{3 + i % 90}" for i in range(256)]}),
        processing_class=_tokenizer(),
        rollout_func=lambda prompts, _: _as_rollout(next(turn), len(prompts)),
        callbacks=[callback],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


def largest_difference(ours: list[dict[str, Tensor]], stock: list[dict[str, Tensor]]) -> float:
    """Over all steps and weights: the largest difference of a gradient ÷ that gradient's largest entry."""
    assert len(ours) == len(stock)
    worst = 0.0
    for our, their in zip(ours, stock, strict=True):
        assert our.keys() == their.keys()
        for name, gradient in their.items():
            difference, scale = (our[name] - gradient).abs().max().item(), gradient.abs().max().item()
            worst = max(worst, difference / scale if scale else difference)
    return worst


def update_difference(ours: Trained, stock: Trained) -> float:
    """‖difference of the two updates‖ ÷ ‖stock's update‖, over all weights."""
    start = stock.start
    theirs = torch.cat([(weight - start[name]).flatten() for name, weight in stock.weights.items()])
    own = torch.cat([(weight - start[name]).flatten() for name, weight in ours.weights.items()])
    return ((own - theirs).norm() / theirs.norm()).item()


def _rollout(rng: np.random.Generator, groups: int, without_signal: int, longest: int) -> list[Row]:
    silent = set(rng.permutation(groups)[:without_signal].tolist())
    rows = []
    for group in range(groups):
        prompt = rng.integers(3, VOCABULARY, rng.integers(2, 7)).tolist()
        right = int(rng.integers(0, 2)) * GROUP if group in silent else int(rng.integers(1, GROUP))
        for member in range(GROUP):
            length = int(np.clip(rng.lognormal(2.0, 0.8), 1, longest))
            completion = rng.integers(3, VOCABULARY, length).tolist()
            if length < longest:
                completion[-1] = EOS
            rows.append(Row(prompt, completion, float(member < right)))
    return rows


def _as_rollout(rows: list[Row], expected: int) -> dict[str, Any]:
    assert len(rows) == expected, f"{len(rows)} canned rows for {expected} prompts"
    rollout = {
        "prompt_ids": [row.prompt for row in rows],
        "completion_ids": [row.completion for row in rows],
        "logprobs": None,
        "reward": [row.reward for row in rows],
    }
    if rows[0].mask:
        rollout["env_mask"] = [row.mask for row in rows]
    return rollout


def _tokenizer() -> PreTrainedTokenizerFast:
    words = {"<pad>": 0, "<eos>": EOS, "<unk>": 2} | {f"t{i}": i for i in range(3, VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
