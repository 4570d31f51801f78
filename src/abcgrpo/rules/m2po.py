"""M2PO: of the tokens that GRPO may clip, only as many as bring their second moment down."""

from dataclasses import dataclass

import torch
from torch import Tensor

from abcgrpo.rules.parameter import parameter
from abcgrpo.rules.rule import Rule
from abcgrpo.tokens import Tokens


@dataclass(frozen=True)
class M2PO(Rule):
    """r·Â where a token is kept, 0 where it is dropped (arXiv 2510.01161).

    Of the tokens in Q1 and Q3, those with the largest (ln r)² are dropped until the mean of the others' is below τ:
    w = 0 for these, r for all others. So a token's fate depends on the others in its micro-batch, and the loss of an
    optimizer step on how it was cut into micro-batches, for which there is no exact remedy: which tokens go is known
    when all are, after the first backward pass. AReaL's implementation counts tokens of all quadrants, and keeps one
    where all would go.
    """

    name = "m2po"
    spans = "batch"
    tau: float = parameter(0.04, above=0.0)
    """τ, the largest mean of (ln r)²."""

    def surrogate(self, tokens: Tokens) -> Tensor:
        """r·Â of the tokens that are kept."""
        return torch.where(self.kept(tokens), tokens.ratio, 0.0) * tokens.advantages

    @torch.no_grad()
    def kept(self, tokens: Tokens) -> Tensor:
        """Where a token is kept; (B, T), bool."""
        outward = torch.where(tokens.advantages > 0, tokens.ratio > 1, tokens.ratio < 1)
        candidates = (outward & (tokens.advantages != 0) & tokens.mask).nonzero(as_tuple=True)
        moments, order = tokens.ratio[candidates].log().square().double().sort()
        means = moments.cumsum(0) / torch.arange(1, len(moments) + 1, device=moments.device)
        survives = torch.empty_like(order, dtype=torch.bool)
        survives[order] = means < self.tau  # means of a sorted sequence do not fall, so this is a prefix
        kept = torch.ones_like(tokens.mask)
        kept[candidates] = survives
        return kept
