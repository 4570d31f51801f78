"""GRPO's rule, which is PPO's: clipping on the side that the advantage pushes towards."""

from dataclasses import dataclass

from abcgrpo.rules.abc_grpo import Boundaries
from abcgrpo.rules.bounded import BoundedRule
from abcgrpo.rules.parameter import parameter


@dataclass(frozen=True)
class GRPO(BoundedRule):
    """min(r·Â, clip(r, 1 − ε, 1 + ε)·Â) (paper, eq. 4; GRPO, arXiv 2402.03300; PPO-clip, arXiv 1707.06347).

    w = 0 where Â > 0 and r > 1 + ε (Q1) or Â < 0 and r < 1 − ε (Q3); r elsewhere, unbounded in Q2 and Q4.
    """

    name = "grpo"
    eps: float = parameter(0.2)
    """ε."""

    @property
    def boundaries(self) -> Boundaries:
        """ε in Q1 and Q3."""
        return Boundaries.grpo(self.eps)
