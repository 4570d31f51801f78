"""Dual-clip PPO: GRPO's rule with a far bound in Q4."""

from dataclasses import dataclass

from abcgrpo.rules.abc_grpo import Boundaries
from abcgrpo.rules.bounded import BoundedRule
from abcgrpo.rules.parameter import parameter


@dataclass(frozen=True)
class DualClip(BoundedRule):
    """max(min(r·Â, clip(r, 1 − ε, 1 + ε)·Â), c·Â) where Â < 0, GRPO's rule where Â > 0 (arXiv 1912.09729).

    w = 0 where GRPO clips, and where Â < 0 and r > c (Q4); r elsewhere. verl's loss `vanilla` is this rule.
    """

    name = "dual_clip"
    eps: float = parameter(0.2)
    """ε, Q1 and Q3."""
    c: float = parameter(3.0, above=1.0)
    """The largest ratio where Â < 0."""

    @property
    def boundaries(self) -> Boundaries:
        """ε in Q1 and Q3, c − 1 in Q4."""
        return Boundaries.dual_clip(self.eps, self.c)
