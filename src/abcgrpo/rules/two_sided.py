"""INTELLECT-2's two-sided clipping."""

from dataclasses import dataclass

from abcgrpo.rules.abc_grpo import Boundaries
from abcgrpo.rules.bounded import BoundedRule
from abcgrpo.rules.parameter import parameter


@dataclass(frozen=True)
class TwoSided(BoundedRule):
    """min(min(r, δ)·Â, clip(r, 1 − ε, 1 + ε)·Â), δ > 1 + ε (INTELLECT-2, arXiv 2505.07291).

    w = 0 where GRPO clips, and where Â < 0 and r > δ (Q4); r elsewhere. It is dual-clip with another name for its
    second bound and another default. TRL has it as `delta`.
    """

    name = "two_sided"
    eps: float = parameter(0.2)
    """ε, Q1 and Q3."""
    delta: float = parameter(4.0, above=1.0)
    """δ, the largest ratio where Â < 0; above 1 + ε."""

    @property
    def boundaries(self) -> Boundaries:
        """ε in Q1 and Q3, δ − 1 in Q4."""
        return Boundaries.two_sided(self.eps, self.delta)
