"""A micro-batch as TRL buffers it, and which of its tokens count."""

from inspect import signature
from typing import Any

from torch import Tensor
from trl.trainer.grpo_trainer import GRPOTrainer

Batch = dict[str, Any]
"""Tensors and lists whose first dimension is the row, and scalars that belong to all rows."""

_PASS_ARGUMENTS = list(signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters)
MULTIMODAL = frozenset(_PASS_ARGUMENTS[_PASS_ARGUMENTS.index("compute_aux_loss") + 1 :])
"""What TRL's batches hold besides text, `pixel_values` and the like."""


def loss_mask(batch: Batch) -> Tensor:
    """(B, T): the completion tokens that the policy wrote; a tool's output is not among them."""
    mask = batch["completion_mask"]
    return mask * batch["tool_mask"] if "tool_mask" in batch else mask
