"""SPO: a quadratic penalty that pulls the ratio back to its bound."""

from dataclasses import dataclass

from torch import Tensor

from abcgrpo.rules.parameter import parameter
from abcgrpo.rules.rule import Rule
from abcgrpo.tokens import Tokens


@dataclass(frozen=True)
class SPO(Rule):
    """r·Â − |Â|·(r − 1)²/(2ε) (arXiv 2601.22801).

    w = r·(1 − sgn(Â)·(r − 1)/ε): 0 at r = 1 + sgn(Â)·ε and negative beyond, where the gradient pulls back. In Q2 and Q4
    w exceeds r and grows with r².
    """

    name = "spo"
    eps: float = parameter(0.2, above=0.0)
    """ε, the distance from 1 at which the gradient turns."""

    def surrogate(self, tokens: Tokens) -> Tensor:
        """r·Â less the penalty."""
        penalty = tokens.advantages.abs() / (2 * self.eps) * (tokens.ratio - 1).square()
        return tokens.ratio * tokens.advantages - penalty
