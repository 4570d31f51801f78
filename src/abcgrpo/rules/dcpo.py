"""DCPO: wider bounds for tokens that were unlikely."""

from dataclasses import dataclass

import torch
from torch import Tensor

from abcgrpo.rules.parameter import parameter
from abcgrpo.rules.rule import Rule
from abcgrpo.tokens import Tokens


@dataclass(frozen=True)
class DCPO(Rule):
    """min(r·Â, clip(r, lower, upper)·Â), r at most r_max (arXiv 2509.02333).

        lower = ½ + ½·√max(1 − 4·low/π_old, 0)       upper = ½ + ½·√(1 + 4·high/π_old)

    The bounds are what |r − 1|·r·π_old ≤ ε solves to. w = 0 where Â > 0 and r > upper (Q1), Â < 0 and r < lower (Q3),
    or r > r_max; r elsewhere. At π_old = 0.9 the defaults are [0.769, 1.187], at 0.01 [0.5, 5.0]. Of the paper this is
    the dynamic clipping alone, not its standardization of advantages over steps.
    """

    name = "dcpo"
    low: float = parameter(0.16)
    """ε_l, Q3."""
    high: float = parameter(0.2)
    """ε_h, Q1."""
    r_max: float = parameter(10.0, above=1.0)
    """The largest ratio, whatever the sign of Â."""

    @property
    def largest_weight(self) -> float:
        """`r_max`."""
        return self.r_max

    def surrogate(self, tokens: Tokens) -> Tensor:
        """clip(r)·Â, with a bound on the side that Â pushes towards, and r_max."""
        old = tokens.old_probabilities
        lower = 0.5 + 0.5 * (1 - 4 * self.low / old).clamp(min=0).sqrt()
        upper = 0.5 + 0.5 * (1 + 4 * self.high / old).sqrt()
        positive = tokens.advantages > 0
        low = torch.where(positive, 0.0, lower)
        high = torch.where(positive, upper.clamp(max=self.r_max), self.r_max)
        return tokens.ratio.clamp(low, high) * tokens.advantages
