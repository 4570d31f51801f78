"""CISPO: the ratio is clipped, and no token loses its gradient."""

from dataclasses import dataclass

from abcgrpo.rules.parameter import parameter
from abcgrpo.rules.weighted import Gate, GatedRule
from abcgrpo.tokens import Tokens


@dataclass(frozen=True)
class CISPO(GatedRule):
    """w = clip(r, floor, cap), held constant: the loss is −w·Â·logπ (MiniMax-M1, arXiv 2506.13585).

    The bounds are ratios, not distances from 1. The defaults are TRL's (`loss_type="cispo"`, no lower bound, a cap of
    5); verl's loss `cispo` is floor = 1 − clip_ratio_low, cap = 1 + clip_ratio_high.
    """

    name = "cispo"
    floor: float = parameter(0.0)
    """The smallest weight."""
    cap: float = parameter(5.0)
    """The largest weight."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.floor > self.cap:
            raise ValueError(f"floor must not be above cap = {self.cap:g}, got {self.floor:g}")

    @property
    def largest_weight(self) -> float:
        """`cap`."""
        return self.cap

    def positive(self, tokens: Tokens) -> Gate:
        """Held at both bounds."""
        return Gate(self.floor, self.cap, below=1, above=1)

    negative = positive
