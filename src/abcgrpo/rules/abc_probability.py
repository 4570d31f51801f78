"""ABC-GRPO's four bounds, in probability instead of ratio."""

from dataclasses import dataclass

from abcgrpo.rules.parameter import parameter
from abcgrpo.rules.weighted import Gate, GatedRule
from abcgrpo.tokens import Tokens


@dataclass(frozen=True)
class ABCProbability(GatedRule):
    """w = 0 where |π − π_old| > δ, r elsewhere, in all four quadrants: prime-rl calls it IPO.

    As bounds of the ratio: 1 ± δ/π_old. A likely token may change its probability by a small factor, an unlikely one by
    a large one, in either direction and whatever the sign of Â.
    """

    name = "abc_probability"
    delta: float = parameter(0.1)
    """δ, a probability."""

    def positive(self, tokens: Tokens) -> Gate:
        """Q1 and Q2."""
        width = self.delta / tokens.old_probabilities
        return Gate(1 - width, 1 + width)

    negative = positive
