"""The pass of the policy over a rollout, before its first step, for estimators that need more than old log-probs."""

from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor

from abcgrpo.trl.batch import MULTIMODAL, Batch


class Distribution(NamedTuple):
    """The policy's distribution at each completion token; (B, T), float32, at the sampling temperature."""

    logprobs: Tensor
    """log π of the token."""
    squared_probabilities: Tensor
    """Σπ² over the vocabulary."""
    entropies: Tensor
    """Entropies in nats."""


@torch.no_grad()
def old_distribution(trainer: Any, batch: Batch) -> Distribution:
    """The distribution of the policy as it stands, for all rows of a rollout.

    Passes have `per_device_train_batch_size` rows.

    Raises:
        ValueError: prompts that are not text.
    """
    if MULTIMODAL & batch.keys():
        raise ValueError("estimators that need the policy's distribution take prompts of text only")
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    length = batch["completion_ids"].size(1)
    keeps = "logits_to_keep" in signature(trainer.accelerator.unwrap_model(trainer.model).forward).parameters
    options = {"logits_to_keep": length + 1} if keeps else {}
    parts = []
    for rows in torch.arange(len(ids)).split(trainer.args.per_device_train_batch_size):
        with trainer.accelerator.autocast():
            logits = trainer.model(input_ids=ids[rows], attention_mask=mask[rows], **options, use_cache=False).logits
        log_probabilities = (logits[:, :-1][:, -length:].float() / trainer.temperature).log_softmax(-1)
        probabilities = log_probabilities.exp()
        written = ids[rows, -length:, None]
        parts.append(
            Distribution(
                log_probabilities.gather(-1, written).squeeze(-1),
                probabilities.square().sum(-1),
                -(probabilities * log_probabilities).sum(-1),
            )
        )
    return Distribution(*(torch.cat(columns) for columns in zip(*parts, strict=True)))
