"""GMPO: the geometric mean of a response's clipped ratios."""

from dataclasses import dataclass

import torch
from torch import Tensor

from abcgrpo.rules.parameter import parameter
from abcgrpo.rules.rule import Rule
from abcgrpo.tokens import LOG_RATIO_LIMIT, Tokens, token_counts


@dataclass(frozen=True)
class GMPO(Rule):
    """R·Â at every token of a response, R = exp(mean over its tokens of the clipped ln r) (arXiv 2507.20673).

    ln r is at most `high` where Â > 0 and at least −`low` where Â < 0. w = R where a token is within its bound, 0
    where it is not. verl's loss `geo_mean` is this with the sequence mean, whatever reduction it is given. Where
    advantages differ within a response, a token's gradient takes the response's mean advantage.
    """

    name = "gmpo"
    low: float = parameter(0.4)
    """Bound of ln r in Q3."""
    high: float = parameter(0.4)
    """Bound of ln r in Q1."""

    def surrogate(self, tokens: Tokens) -> Tensor:
        """R·Â."""
        log_ratio = (tokens.logprobs - tokens.old_logprobs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
        clipped = torch.where(tokens.advantages > 0, log_ratio.clamp(max=self.high), log_ratio.clamp(min=-self.low))
        summed = torch.where(tokens.mask, clipped, 0.0).sum(-1, keepdim=True)
        mean = summed / token_counts(tokens.mask).clamp(min=1)[:, None]
        return mean.exp() * tokens.advantages
