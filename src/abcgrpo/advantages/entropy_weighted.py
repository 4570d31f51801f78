"""Credit by entropy: of a correct response, the tokens at which the policy was unsure carry more of the advantage."""

from dataclasses import dataclass

import torch
from torch import Tensor

from abcgrpo.advantages.estimator import Estimator, Groups
from abcgrpo.advantages.group import group_advantages


@dataclass(frozen=True)
class EntropyWeighted(Estimator):
    """Â_{i,t} = Â_i·d_t·H_{i,t} / Σ_k H_{k,t} where Â_i > 0; Â_i elsewhere (after GTPO, arXiv 2508.04349).

    H is the entropy of the policy's distribution at the token, in nats; k runs over the d_t responses of the group with
    Â > 0 that have a token at t, so that these share what equation 3 gives them at each position. Where their
    entropies are all 0 they share it equally. A departure: GTPO also weighs failed responses, by 1/H, and normalises
    the shaped rewards by a standard deviation.
    """

    name = "entropy_weighted"
    needs = frozenset({"entropies"})

    def __call__(self, groups: Groups) -> Tensor:
        """(N, T)."""
        assert groups.entropies is not None, "the trainer gives what an estimator needs"
        whole = group_advantages(groups.rewards, groups.group_size)[:, None].expand(groups.mask.shape)
        correct = (whole > 0) & groups.mask
        shape = (-1, groups.group_size, groups.mask.size(1))
        entropies = torch.where(correct, groups.entropies.float(), 0.0)
        total = entropies.view(shape).sum(1, keepdim=True).expand(-1, groups.group_size, -1).reshape(whole.shape)
        alive = correct.view(shape).sum(1, keepdim=True).expand(-1, groups.group_size, -1).reshape(whole.shape)
        weight = torch.where(total > 0, entropies * alive / torch.where(total > 0, total, 1.0), 1.0)
        return torch.where(correct, whole * weight, whole)
