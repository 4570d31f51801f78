"""A baseline for each token that minimises the gradient's variance, estimated from the group."""

from dataclasses import dataclass

import torch
from torch import Tensor

from abcgrpo.advantages.estimator import Estimator, Groups
from abcgrpo.advantages.group import informative

SMALL = 1e-8
"""Added to the denominator, as verl does."""


@dataclass(frozen=True)
class OptimalTokenBaseline(Estimator):
    """Â_{i,t} = R_i − B_t, B_t = Σ_i R_i·W_{i,t} / Σ_i W_{i,t}, W_{i,t} = Σ_{j≤t} (1 − 2π_j + Σπ²) (arXiv 2602.07078).

    1 − 2π + Σπ² is the squared norm of the gradient of log π in the logits: a response whose tokens were surprising
    weighs more. Sums over i run over the responses of the group that have a token at t. With importance weights ρ of
    the sampler, each term of W is multiplied by ρ². A response in a group of one has no baseline, and the part of the
    longest response beyond the second longest has none either. verl 0.9.1 has it as `optimal_token_baseline`.

    A response without a reward takes no part, and a group whose rewards are all equal has advantage exactly 0, where
    verl leaves a rounding error.
    """

    name = "optimal_token_baseline"
    needs = frozenset({"logprobs", "squared_probabilities"})

    def __call__(self, groups: Groups) -> Tensor:
        """(N, T)."""
        assert groups.logprobs is not None, "the trainer gives what an estimator needs"
        assert groups.squared_probabilities is not None, "the trainer gives what an estimator needs"
        size, width = groups.group_size, groups.mask.size(1)
        mask = groups.mask & ~groups.rewards.isnan()[:, None]
        norms = 1 - 2 * groups.logprobs.float().exp() + groups.squared_probabilities.float()
        if groups.importance_weights is not None:
            norms = norms * groups.importance_weights.float().square()
        energy = torch.where(mask, norms, 0.0).cumsum(1) * mask
        returns = torch.where(mask, groups.rewards.float()[:, None], 0.0)
        grouped = (-1, size, width)
        baseline = (returns * energy).view(grouped).sum(1) / (energy.view(grouped).sum(1) + SMALL)
        baselines = baseline[:, None, :].expand(-1, size, -1).reshape(mask.shape)
        baselines = torch.where(_beyond_all_others(mask, size), 0.0, baselines)
        if size == 1:
            return (returns - baselines) * mask
        scored = torch.where(mask.any(1), groups.rewards, torch.nan)
        return torch.where(informative(scored, size)[:, None], (returns - baselines) * mask, 0.0)


def _beyond_all_others(mask: Tensor, group_size: int) -> Tensor:
    """(N, T): where a group's longest response has no other beside it; everywhere in a group of one."""
    lengths = mask.sum(1).view(-1, group_size)
    if group_size == 1:
        return torch.ones_like(mask)
    second, longest = lengths.sort(1).values[:, -2:].unbind(1)
    alone = (lengths == longest[:, None]) & (longest > second)[:, None]
    positions = torch.arange(mask.size(1), device=mask.device)
    return (alone[:, :, None] & (positions >= second[:, None, None])).view(mask.shape)
