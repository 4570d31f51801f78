"""One bound alone, three open: what each quadrant's bound does by itself."""

from dataclasses import dataclass, replace

from abcgrpo.rules.abc_grpo import INF, Boundaries
from abcgrpo.rules.bounded import BoundedRule
from abcgrpo.rules.parameter import parameter

OPEN = Boundaries.uniform(INF)


@dataclass(frozen=True)
class OnlyQ1(BoundedRule):
    """clip(r, 0, 1 + ε)·Â where Â > 0, r·Â where Â < 0: w = 0 in Q1 beyond 1 + ε, r elsewhere. A control of ours."""

    name = "only_q1"
    eps: float = parameter(0.2)
    """ε1."""

    @property
    def boundaries(self) -> Boundaries:
        """ε in Q1."""
        return replace(OPEN, eps_pos_high=self.eps)


@dataclass(frozen=True)
class OnlyQ2(BoundedRule):
    """clip(r, 1 − ε, inf)·Â where Â > 0, r·Â where Â < 0: w = 0 in Q2 below 1 − ε, r elsewhere. A control of ours."""

    name = "only_q2"
    eps: float = parameter(0.2)
    """ε2."""

    @property
    def boundaries(self) -> Boundaries:
        """ε in Q2."""
        return replace(OPEN, eps_pos_low=self.eps)


@dataclass(frozen=True)
class OnlyQ3(BoundedRule):
    """r·Â where Â > 0, clip(r, 1 − ε, inf)·Â where Â < 0: w = 0 in Q3 below 1 − ε, r elsewhere. A control of ours."""

    name = "only_q3"
    eps: float = parameter(0.2)
    """ε4."""

    @property
    def boundaries(self) -> Boundaries:
        """ε in Q3."""
        return replace(OPEN, eps_neg_low=self.eps)


@dataclass(frozen=True)
class OnlyQ4(BoundedRule):
    """r·Â where Â > 0, clip(r, 0, 1 + ε)·Â where Â < 0: w = 0 in Q4 beyond 1 + ε, r elsewhere. A control of ours."""

    name = "only_q4"
    eps: float = parameter(0.2)
    """ε3."""

    @property
    def boundaries(self) -> Boundaries:
        """ε in Q4."""
        return replace(OPEN, eps_neg_high=self.eps)
