"""Rows as TRL pads them → what a model is run on, and its outputs → rows again.

Shapes: B rows of P + C columns; prompts end at column P (padded on the left), completions start there (padded on the
right). `ids` and `mask` are (B, P + C), results are (B, C).

- "packed": all tokens of all rows one behind the other, (1, tokens); no padding at all.
- "flushed": each row from column 0, padding on the right only, (B, longest row). Causal attention never sees it, so no
  mask is needed and any causal model will do.
- "stock": as TRL has them, with the mask.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from abcgrpo.trl.update.head import IGNORED

Layout = Literal["packed", "flushed", "stock"]


@dataclass(frozen=True)
class LaidOut:
    """Some rows of a batch, ready for one forward pass."""

    model_inputs: dict[str, Tensor | int]
    """Arguments of the model."""
    labels: Tensor
    """Like its `input_ids`, IGNORED where a token is not scored."""
    where: Tensor
    """(B, C), True at the tokens that the pass scores."""
    positions: int
    """Positions computed, padding included."""

    def completion_values(self, values: Tensor) -> Tensor:
        """One value per scored token of the pass, in its order → (B, C), 0 where nothing was scored."""
        return values.new_zeros(self.where.shape).masked_scatter(self.where, values)


def lay_out(ids: Tensor, mask: Tensor, completion_length: int, layout: Layout, rows: Tensor | None = None) -> LaidOut:
    """The rows of a batch that `rows` selects, as one forward pass.

    Args:
        ids: (B, P + C).
        mask: (B, P + C), 1 at a row's own tokens. Without a hole, and with at least one prompt token in every row.
        completion_length: C.
        layout: how.
        rows: (B,), True for a row to be run; default all. At least one.

    Raises:
        ValueError: a row without any prompt token: nothing could predict its first completion token.
    """
    own = mask.bool()
    chosen = torch.ones_like(own[:, 0]) if rows is None else rows
    if not own[:, :-completion_length].any(1).all():
        raise ValueError("every row needs at least one prompt token")
    where = own[:, -completion_length:] & chosen[:, None]
    ids, own = ids[chosen], own[chosen]
    labels = ids.masked_fill(~own, IGNORED)
    labels[:, :-completion_length] = IGNORED
    if layout == "stock":
        return LaidOut({"input_ids": ids, "attention_mask": own.long()}, labels, where, ids.numel())
    if layout == "packed":
        inputs = {"input_ids": ids[own].unsqueeze(0)} | _limits(own.sum(1))
        return LaidOut(inputs, labels[own].unsqueeze(0), where, int(own.sum()))
    lengths = own.sum(1)
    slots = torch.arange(int(lengths.max()), device=ids.device) < lengths[:, None]
    flushed = torch.zeros_like(slots, dtype=ids.dtype).masked_scatter(slots, ids[own])
    labels = torch.full_like(flushed, IGNORED).masked_scatter(slots, labels[own])
    return LaidOut({"input_ids": flushed}, labels, where, slots.numel())


def _limits(lengths: Tensor) -> dict[str, Tensor | int]:
    """What tells a model where packed rows of these lengths start and end."""
    limits = F.pad(lengths.cumsum(0), (1, 0))
    starts = limits[:-1].repeat_interleave(lengths)
    positions = torch.arange(len(starts), device=lengths.device) - starts
    limits, longest = limits.to(torch.int32), int(lengths.max())
    return {
        "position_ids": positions.unsqueeze(0),
        "cu_seq_lens_q": limits,
        "cu_seq_lens_k": limits,
        "max_length_q": longest,
        "max_length_k": longest,
    }
