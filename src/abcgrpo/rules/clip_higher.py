"""DAPO's clip-higher: GRPO's rule with two thresholds."""

from dataclasses import dataclass

from abcgrpo.rules.abc_grpo import Boundaries
from abcgrpo.rules.bounded import BoundedRule
from abcgrpo.rules.parameter import parameter


@dataclass(frozen=True)
class ClipHigher(BoundedRule):
    """min(r·Â, clip(r, 1 − low, 1 + high)·Â) (DAPO, arXiv 2503.14476).

    w = 0 where Â > 0 and r > 1 + high (Q1) or Â < 0 and r < 1 − low (Q3); r elsewhere. Of DAPO this is the rule alone:
    its token mean, dynamic sampling and overlong reward are options of the trainer.
    """

    name = "clip_higher"
    low: float = parameter(0.2)
    """ε_low, Q3."""
    high: float = parameter(0.28)
    """ε_high, Q1."""

    @property
    def boundaries(self) -> Boundaries:
        """`high` in Q1, `low` in Q3."""
        return Boundaries.clip_higher(self.low, self.high)
