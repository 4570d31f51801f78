"""Clip events by quadrant of (r, Â): what a run logs (paper, section 5.4).

| quadrant | Â   | r             | threshold      |
|----------|-----|---------------|----------------|
| Q1       | > 0 | above 1 + ε1  | `eps_pos_high` |
| Q2       | > 0 | below 1 − ε2  | `eps_pos_low`  |
| Q3       | < 0 | below 1 − ε4  | `eps_neg_low`  |
| Q4       | < 0 | above 1 + ε3  | `eps_neg_high` |
"""

from typing import NamedTuple

import torch
from torch import Tensor

from abcgrpo.rules.abc_grpo import Boundaries
from abcgrpo.tokens import per_token


class ClipEvents(NamedTuple):
    """One boolean (B, T) tensor per quadrant: True at the tokens that are an event of it."""

    q1: Tensor
    q2: Tensor
    q3: Tensor
    q4: Tensor

    def counts(self) -> Tensor:
        """Events per quadrant; (4,), float32."""
        return torch.stack([events.sum() for events in self]).float()


EVENT_THRESHOLDS = Boundaries.uniform(0.2)
"""What counts as an event, whichever rule is trained."""
MOVED = Boundaries.uniform(1e-3)
"""A ratio within these bounds is 1 but for rounding, as in the first mini-batch of a rollout: its token is in no
quadrant. `clip_events` at these bounds are the tokens of each quadrant."""


def clip_events(ratio: Tensor, advantages: Tensor, mask: Tensor, at: Boundaries = EVENT_THRESHOLDS) -> ClipEvents:
    """The unmasked tokens with Â ≠ 0 whose ratio lies strictly outside the bounds `at`.

    Events are measured against thresholds of their own, 0.2 on every side, not against the rule that is trained: so
    that a GRPO run shows its Q2 and Q4 too, which GRPO leaves unclipped, and so that runs can be compared.

    Args:
        ratio: (B, T), from `importance_ratio`.
        advantages: (B,) or (B, T).
        mask: (B, T), 1 or True where a token counts.
        at: the thresholds of an event.
    """
    advantage = per_token(advantages, ratio)
    good, bad = (advantage > 0) & mask.bool(), (advantage < 0) & mask.bool()
    return ClipEvents(
        q1=good & (ratio > 1 + at.eps_pos_high),
        q2=good & (ratio < 1 - at.eps_pos_low),
        q3=bad & (ratio < 1 - at.eps_neg_low),
        q4=bad & (ratio > 1 + at.eps_neg_high),
    )
