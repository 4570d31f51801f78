"""What a row costs: floating-point operations of a decoder's matrix products, forward and backward.

Enough to say by how much an update could be shortened; norms, activations and the optimizer are left out.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

BACKWARD = {"linear": 2.0, "head": 3.0, "attention": 2.5}
"""Cost of a backward pass, in forward passes. TRL's fused head computes the logits a second time, and so does a
memory-efficient attention with its scores."""


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a decoder that decide what a token costs."""

    linear: int
    """Weights that every token is multiplied with: all matrices but embedding and head."""
    head: int
    """Weights of the head, vocabulary × width; only scored tokens are multiplied with them."""
    attention: int
    """Layers × query heads × head size."""

    @classmethod
    def of(cls, model: PreTrainedModel) -> Self:
        """Read from a model's weights and configuration. A mixture of experts counts with all of its experts."""
        config = model.config.get_text_config()
        outside = {id(part.weight) for part in (model.get_output_embeddings(), model.get_input_embeddings()) if part}
        return cls(
            linear=sum(p.numel() for p in model.parameters() if p.dim() > 1 and id(p) not in outside),
            head=config.vocab_size * config.hidden_size,
            attention=sum(_attention_width(layer) for layer in config.per_layer_config),
        )

    def flops(
        self,
        lengths: Tensor,
        scored: Tensor,
        *,
        forwards: float = 1.0,
        backwards: float = 0.0,
        causal: bool = True,
    ) -> Tensor:
        """Operations for rows of `lengths` tokens, of which `scored` are scored; float64, of the same shape.

        Args:
            lengths: tokens of each row, padding included where it is computed.
            scored: tokens of each row whose log-probability is wanted.
            forwards: number of forward passes.
            backwards: number of backward passes.
            causal: attention skips the upper triangle of its scores; with a dense mask it computes all of them.
        """
        lengths, scored = lengths.to(torch.float64), scored.to(torch.float64)
        passes = {kind: forwards + backwards * cost for kind, cost in BACKWARD.items()}
        return (
            2 * lengths * self.linear * passes["linear"]
            + 2 * scored * self.head * passes["head"]
            + 4 * lengths.square() * (0.5 if causal else 1.0) * self.attention * passes["attention"]
        )


def _attention_width(layer: PretrainedConfig) -> int:
    """Query heads × head size; 0 for state-space models, which have no heads."""
    heads = getattr(layer, "num_attention_heads", 0)
    return (getattr(layer, "head_dim", None) or layer.hidden_size // max(heads, 1)) * heads
