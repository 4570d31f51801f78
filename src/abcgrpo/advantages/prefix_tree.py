"""Credit by the prefix tree of a group: a token is worth what it changed in the group's mean reward from there on."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from abcgrpo.advantages.estimator import Estimator, Groups
from abcgrpo.advantages.group import group_advantages, informative

FORMS = ("tempo", "tree_rl", "value")


@dataclass(frozen=True)
class PrefixTreeCredit(Estimator):
    """An advantage for each token from V(s), the mean reward of the group's responses that share the prefix s.

    With s_t the prefix before token t and s_{t+1} the one that ends with it:

    - "tempo": Â_t = r − mean + V(s_{t+1}) − V(s_t) (TEMPO, arXiv 2509.18314). Off the branches V does not change, and
      Â_t is equation 3's.
    - "tree_rl": Â_t = (2·V(s_{t+1}) − V(root) − V(s_t)) / √|leaves(s_{t+1})| (TreeRL, arXiv 2506.11902).
    - "value": Â_t = V(s_{t+1}) − V(root). On policy (r = 1), with a mean over tokens, its gradient is that of
      equation 3: what responses share cancels in both.

    The tokens of a group whose rewards are all equal have advantage exactly 0.
    """

    name = "prefix_tree"
    form: Literal["tempo", "tree_rl", "value"] = "tempo"
    """One of the three."""

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"form must be one of {', '.join(map(repr, FORMS))}, got {self.form!r}")

    def __call__(self, groups: Groups) -> Tensor:
        """(N, T)."""
        tree = groups.tree
        whole = group_advantages(groups.rewards, groups.group_size)[:, None]
        before, after, root = tree.values[:, :-1], tree.values[:, 1:], tree.values[:, :1]
        if self.form == "tempo":
            advantages = whole + after - before
        elif self.form == "tree_rl":
            advantages = (2 * after - root - before) / tree.leaves[:, 1:].sqrt()
        else:
            advantages = after - root
        return torch.where(informative(groups.rewards, groups.group_size)[:, None], advantages.float(), 0.0)
