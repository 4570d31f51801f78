"""ABC-GRPO whose four thresholds set themselves: each quadrant clips a share of its tokens that is fixed beforehand."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from abcgrpo.quadrants import MOVED, clip_events
from abcgrpo.rules.abc_grpo import Boundaries
from abcgrpo.rules.parameter import parameter
from abcgrpo.rules.rule import AdaptiveRule
from abcgrpo.tokens import Tokens

THRESHOLDS = ("eps_pos_high", "eps_pos_low", "eps_neg_high", "eps_neg_low")
QUADRANTS = ("q1", "q2", "q4", "q3")
"""Names of the thresholds, in the order of the measured sums."""


@dataclass
class SelfTuned(AdaptiveRule):
    """clip(r)·Â as in `abc_grpo`, with thresholds that move: ln ε_k ← ln ε_k + η·(f_k − f*_k), a rule of ours.

    f_k is the share of quadrant k's tokens (sign of Â, side of r) that lie beyond its bound, over all micro-batches and
    ranks of an optimizer step. Quadrants without tokens keep their threshold; so do all in the first mini-batch of a
    rollout, where r = 1. w = r inside the bounds, 0 outside, as in `abc_grpo`. It is an answer to the paper's second
    open question, how thresholds might be set.
    """

    name = "self_tuned"
    target_pos_high: float = parameter(0.01, above=0.0, finite=True)
    """f* of Q1."""
    target_pos_low: float = parameter(0.01, above=0.0, finite=True)
    """f* of Q2."""
    target_neg_high: float = parameter(0.01, above=0.0, finite=True)
    """f* of Q4."""
    target_neg_low: float = parameter(0.01, above=0.0, finite=True)
    """f* of Q3."""
    rate: float = parameter(5.0, above=0.0, finite=True)
    """η."""
    start: float = parameter(0.2, above=0.0, finite=True)
    """ε_k at the beginning."""
    smallest: float = parameter(0.01, above=0.0, finite=True)
    """No threshold falls below."""
    largest: float = parameter(1.0, above=0.0, finite=True)
    """No threshold rises above. A lower threshold of 1 is open."""
    boundaries: Boundaries = field(init=False, repr=False, compare=False)
    """The thresholds as they are now."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, target in zip(THRESHOLDS, self._targets, strict=True):
            if target >= 1:
                raise ValueError(f"{name.replace('eps', 'target')} must be a share of tokens below 1, got {target:g}")
        if not self.smallest <= self.start <= self.largest:
            raise ValueError(
                f"start must lie between smallest = {self.smallest:g} and largest = {self.largest:g}, "
                f"got {self.start:g}"
            )
        self.boundaries = Boundaries.uniform(self.start)

    @property
    def largest_weight(self) -> float:
        """1 + `largest`."""
        return 1 + self.largest

    def surrogate(self, tokens: Tokens) -> Tensor:
        """clip(r)·Â within the thresholds as they are now."""
        return self.boundaries.surrogate(tokens)

    @torch.no_grad()
    def measure(self, tokens: Tokens) -> dict[str, Tensor]:
        """`tokens` and `clipped` of each quadrant; (4,) each."""
        seen = (tokens.ratio, tokens.advantages, tokens.mask)
        inside, beyond = clip_events(*seen, MOVED), clip_events(*seen, self.boundaries)
        clipped = [(getattr(inside, name) & getattr(beyond, name)).sum() for name in QUADRANTS]
        return {
            "tokens": torch.stack([getattr(inside, name).sum() for name in QUADRANTS]).double(),
            "clipped": torch.stack(clipped).double(),
        }

    def update(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Move each threshold whose quadrant has tokens; returns all four."""
        current = self.state_dict()
        measured = zip(THRESHOLDS, self._targets, sums["clipped"].tolist(), sums["tokens"].tolist(), strict=True)
        for name, target, clipped, tokens in measured:
            if tokens:
                moved = current[name] * math.exp(self.rate * (clipped / tokens - target))
                current[name] = min(max(moved, self.smallest), self.largest)
        self.load_state_dict(current)
        return current

    def state_dict(self) -> dict[str, float]:
        """The four thresholds."""
        return {name: getattr(self.boundaries, name) for name in THRESHOLDS}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the four thresholds."""
        self.boundaries = Boundaries(**{name: state[name] for name in THRESHOLDS})

    @property
    def _targets(self) -> tuple[float, ...]:
        return self.target_pos_high, self.target_pos_low, self.target_neg_high, self.target_neg_low
