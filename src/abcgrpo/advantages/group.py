"""Rewards of groups of responses → advantages: equation 3 of the paper."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from abcgrpo.advantages.estimator import Estimator, Groups

STD_OFFSET = 1e-4
"""Added to a standard deviation before dividing by it, as TRL does."""


def group_advantages(rewards: Tensor, group_size: int, scale: Literal["none", "group", "batch"] = "none") -> Tensor:
    """Â = reward − mean reward of its group (eq. 3), optionally divided by a standard deviation; (N,), float32.

    One deliberate departure from TRL 1.16: a group whose rewards are all equal has advantage exactly 0, whatever
    the reward (there, a constant 0.1 leaves a rounding error that the division by 1e-4 then amplifies).

    Args:
        rewards: (N,), the responses to one prompt side by side. NaN marks a response that could not be scored: it
            takes no part in its group's mean and standard deviation, and its advantage is 0.
        group_size: G, the number of responses to one prompt.
        scale: "none" is the paper's; "group" divides by the group's sample standard deviation + 1e-4, "batch" by that
            of all rewards.

    Raises:
        ValueError: rewards that are not a 1-D tensor, an N that G does not divide, an unknown scale.
    """
    if not isinstance(rewards, Tensor):
        raise ValueError(f"rewards must be a tensor of shape (N,), got {type(rewards).__name__}: torch.tensor(rewards)")
    if not isinstance(group_size, int):
        raise ValueError(f"group_size is a number of responses, got {group_size!r}")
    if rewards.dim() != 1 or group_size < 1 or len(rewards) % group_size:
        raise ValueError(
            f"rewards must be (N,) with N a multiple of group_size={group_size}, got {tuple(rewards.shape)}"
        )
    grouped = rewards.float().view(-1, group_size)
    advantages = grouped - grouped.nanmean(1, keepdim=True)
    if scale == "group":
        advantages = advantages / (_sample_std(grouped) + STD_OFFSET)
    elif scale == "batch":
        advantages = advantages / (_sample_std(grouped.reshape(1, -1)) + STD_OFFSET)
    elif scale != "none":
        raise ValueError(f'scale must be "none", "group" or "batch", got {scale!r}')
    return torch.where(informative(rewards, group_size), advantages.flatten(), 0.0)


def informative(rewards: Tensor, group_size: int) -> Tensor:
    """(N,): the responses with a reward (no NaN), in a group whose rewards are not all equal."""
    grouped = rewards.view(-1, group_size)
    scored = ~grouped.isnan()
    highest = torch.where(scored, grouped, -torch.inf).amax(1, keepdim=True)
    lowest = torch.where(scored, grouped, torch.inf).amin(1, keepdim=True)
    return (scored & (highest > lowest)).flatten()


@dataclass(frozen=True)
class Group(Estimator):
    """Â = reward − mean reward of its group (eq. 3), the same for every token of a response; see `group_advantages`."""

    name = "group"
    scale: Literal["none", "group", "batch"] = "none"
    """What Â is divided by: nothing (the paper), the standard deviation of its group, or that of all rewards."""

    def __post_init__(self) -> None:
        if self.scale not in ("none", "group", "batch"):
            raise ValueError(f'scale must be "none", "group" or "batch", got {self.scale!r}')

    def __call__(self, groups: Groups) -> Tensor:
        """(N,)."""
        return group_advantages(groups.rewards, groups.group_size, self.scale)


def _sample_std(rewards: Tensor) -> Tensor:
    """Standard deviation of each row's scored rewards, with Bessel's correction; 0 where fewer than two are scored."""
    count = (~rewards.isnan()).sum(1, keepdim=True)
    squares = (rewards - rewards.nanmean(1, keepdim=True)).square().nansum(1, keepdim=True)
    return (squares / (count - 1).clamp(min=1)).sqrt()
