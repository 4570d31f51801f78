"""CE-GPPO: GRPO's rule, whose clipped tokens keep a bounded gradient."""

from dataclasses import dataclass

from abcgrpo.rules.parameter import parameter
from abcgrpo.rules.weighted import Gate, GatedRule
from abcgrpo.tokens import Tokens


@dataclass(frozen=True)
class CEGPPO(GatedRule):
    """w = β1·(1 − low) in Q3 below 1 − low, β2·(1 + high) in Q1 beyond 1 + high, r elsewhere (arXiv 2509.20712).

    With β1 = β2 = 0 it is clip-higher in gradient; with 1 it holds the weight at the bound. The value of the loss is
    −w·Â·logπ here and −w·Â in the paper, which has the same gradient.
    """

    name = "ce_gppo"
    low: float = parameter(0.2)
    """ε_l, Q3."""
    high: float = parameter(0.2)
    """ε_h, Q1."""
    beta_low: float = parameter(0.5, finite=True)
    """β1: what remains below the bound of Q3, as a share of that bound."""
    beta_high: float = parameter(1.0, finite=True)
    """β2: what remains beyond the bound of Q1, as a share of that bound."""

    def positive(self, tokens: Tokens) -> Gate:
        """Q1."""
        return Gate(high=1 + self.high, above=self.beta_high)

    def negative(self, tokens: Tokens) -> Gate:
        """Q3."""
        return Gate(low=1 - self.low, below=self.beta_low)
