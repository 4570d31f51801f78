"""DPPO with the divergence of "this token or another" as its trust region."""

from dataclasses import dataclass

import torch
from torch import Tensor

from abcgrpo.rules.parameter import parameter
from abcgrpo.rules.weighted import WeightedRule
from abcgrpo.tokens import Tokens

TINY = 1e-8
"""Added to 1 − π, as verl does: a probability that is rounded to 1 has a finite logarithm."""


@dataclass(frozen=True)
class DPPOKL(WeightedRule):
    """w = 0 where the ratio moves outward (Q1, Q3) and KL(π_old ‖ π) > δ; min(r, cap) elsewhere (DPPO-Binary-KL,
    arXiv 2602.04879).

    KL is that of two outcomes, this token or another: π_old·ln(π_old/π) + (1 − π_old)·ln((1 − π_old)/(1 − π)). verl's
    loss `dppo_kl` has this form with δ in `clip_ratio`; its `clip_ratio_c` is the cap, documented as 20 and 3 unless it
    is set.
    """

    name = "dppo_kl"
    delta: float = parameter(0.05)
    """δ, in nats."""
    cap: float = parameter(20.0, at_least=1.0)
    """The largest weight; a larger ratio is held there. `inf`: none."""

    @property
    def largest_weight(self) -> float:
        """`cap`."""
        return self.cap

    def held_weight(self, tokens: Tokens) -> Tensor:
        """min(r, cap) where the token is kept."""
        old, new = tokens.old_probabilities, tokens.logprobs.exp().clamp(max=1)
        divergence = old * (tokens.old_logprobs - tokens.logprobs)
        divergence = divergence + (1 - old) * torch.log((1 - old + TINY) / (1 - new + TINY))
        outward = torch.where(tokens.advantages > 0, new > old, new < old)
        return torch.where(outward & (divergence > self.delta), 0.0, tokens.ratio.clamp(max=self.cap))
