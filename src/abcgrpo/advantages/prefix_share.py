"""Shared prefixes count once: a token's advantage is divided by the number of responses that wrote it."""

from dataclasses import dataclass

from torch import Tensor

from abcgrpo.advantages.estimator import Estimator, Groups
from abcgrpo.advantages.group import group_advantages


@dataclass(frozen=True)
class PrefixShare(Estimator):
    """Â_{i,t} = (reward − mean reward of the group) ÷ |responses that share the prefix up to and with token t|.

    λ-GRPO (arXiv 2509.21154): where several responses begin alike, equation 3 counts their common tokens once for each.
    """

    name = "prefix_share"

    def __call__(self, groups: Groups) -> Tensor:
        """(N, T)."""
        return group_advantages(groups.rewards, groups.group_size)[:, None] / groups.tree.leaves[:, 1:]
