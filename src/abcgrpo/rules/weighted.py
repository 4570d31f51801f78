"""Rules that are given by their weight w, which is held constant: w·Â·∇logπ."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from abcgrpo.rules.rule import Rule
from abcgrpo.tokens import Tokens


class WeightedRule(Rule):
    """A rule that says w itself; its surrogate is w·Â·logπ with w held, so that its gradient is w·Â·∇logπ."""

    def held_weight(self, tokens: Tokens) -> Tensor:
        """w of each token, from `tokens` without their gradient; (B, T)."""
        raise NotImplementedError

    def surrogate(self, tokens: Tokens) -> Tensor:
        """w·Â·logπ, w held."""
        return self.weight(tokens) * tokens.advantages * tokens.logprobs

    @torch.no_grad()
    def weight(self, tokens: Tokens) -> Tensor:
        """w; r where Â = 0."""
        return torch.where(tokens.advantages == 0, tokens.ratio, self.held_weight(tokens))


class Gate(NamedTuple):
    """What a rule lets pass: w = r between two bounds of r, and beyond one a share of that bound.

    A share of 0 is a hard clip, 1 holds the weight at the bound. Bounds and shares are numbers, or tensors (B, T) where
    they depend on the token, such as on its old probability.
    """

    low: float | Tensor = 0.0
    high: float | Tensor = math.inf
    below: float = 0.0
    above: float = 0.0

    def weight(self, ratio: Tensor) -> Tensor:
        """w of the ratios."""
        beyond = torch.where(ratio > self.high, self.above * self.high, ratio)
        return torch.where(ratio < self.low, self.below * self.low, beyond)


class GatedRule(WeightedRule):
    """A rule that is two gates, one for each sign of Â: four bounds in all, Q1 and Q2, Q3 and Q4."""

    def positive(self, tokens: Tokens) -> Gate:
        """The gate where Â > 0: Q1 above, Q2 below."""
        raise NotImplementedError

    def negative(self, tokens: Tokens) -> Gate:
        """The gate where Â < 0: Q4 above, Q3 below."""
        raise NotImplementedError

    def held_weight(self, tokens: Tokens) -> Tensor:
        """w of the gate that the token's advantage selects."""
        ratio = tokens.ratio
        positive, negative = self.positive(tokens).weight(ratio), self.negative(tokens).weight(ratio)
        return torch.where(tokens.advantages > 0, positive, negative)
