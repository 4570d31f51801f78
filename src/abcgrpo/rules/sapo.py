"""SAPO: a smooth gate in the place of a bound."""

from dataclasses import dataclass

import torch
from torch import Tensor

from abcgrpo.rules.parameter import parameter
from abcgrpo.rules.rule import Rule
from abcgrpo.tokens import Tokens


@dataclass(frozen=True)
class SAPO(Rule):
    """(4/τ)·σ(τ·(r − 1))·Â, σ the sigmoid, τ by the sign of Â (arXiv 2511.20347).

    w = 4·r·σ·(1 − σ): r at r = 1, and falling off on both sides. TRL's `loss_type="sapo"` and verl's `sapo` are this.
    """

    name = "sapo"
    tau_pos: float = parameter(1.0, above=0.0, finite=True)
    """τ where Â > 0."""
    tau_neg: float = parameter(1.05, above=0.0, finite=True)
    """τ where Â ≤ 0: a faster fall, for tokens that are pushed down."""

    def surrogate(self, tokens: Tokens) -> Tensor:
        """(4/τ)·σ(τ·(r − 1))·Â."""
        tau = torch.where(tokens.advantages > 0, self.tau_pos, self.tau_neg).to(tokens.ratio)
        return torch.sigmoid(tau * (tokens.ratio - 1)) * 4 / tau * tokens.advantages
