"""GSPO: one ratio for a whole response."""

from dataclasses import dataclass

from abcgrpo.rules.abc_grpo import Boundaries
from abcgrpo.rules.bounded import BoundedRule
from abcgrpo.rules.parameter import parameter


@dataclass(frozen=True)
class GSPO(BoundedRule):
    """min(s·Â, clip(s, 1 − low, 1 + high)·Â), s = exp(mean over the response's tokens of log r) (arXiv 2507.18071).

    w = 0 for all tokens of a response with Â > 0 and s > 1 + high, or Â < 0 and s < 1 − low; s elsewhere, and s is the
    same for all tokens of a response. Its thresholds are thousandths of GRPO's, since s moves that much less. Where
    advantages differ within a response, a token's gradient takes the response's mean advantage.
    """

    name = "gspo"
    level = "sequence"
    low: float = parameter(3e-4)
    """Q3."""
    high: float = parameter(4e-4)
    """Q1."""

    @property
    def boundaries(self) -> Boundaries:
        """`high` in Q1, `low` in Q3, of s."""
        return Boundaries.clip_higher(self.low, self.high)
