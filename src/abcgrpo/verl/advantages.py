"""The estimators of advantages in verl's registry, as far as its contract allows: `algorithm.adv_estimator=group`.

verl calls a registered estimator with the rewards, the mask of response tokens and the prompt of each response. It
gives neither the responses' tokens nor anything of the policy's distribution. (It gives more to its own
`optimal_token_baseline` alone, which is the estimator of that name here; it stays verl's.) So `group` is registered,
and so are functions for the others that say why they cannot run.
"""
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false
# verl is not in the environment of the type checker.

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from verl.trainer.ppo.core_algos import register_adv_est

from abcgrpo.advantages.group import group_advantages

_TOKENS = "the tokens of the responses, whose common prefixes it compares"
_ENTROPIES = "the entropy of the policy at each token"
MISSING = {"prefix_tree": _TOKENS, "prefix_share": _TOKENS, "entropy_weighted": _ENTROPIES}
"""Estimators that cannot run under verl, and what they would need."""


@torch.no_grad()
def group(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    index: Sequence[Any],
    config: Mapping[str, Any] | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Equation 3, `abcgrpo.advantages.group_advantages`, under verl's calling convention.

    It differs from verl's `grpo` in three things: a group whose rewards are all equal has advantage exactly 0, and so
    has a group of one response; the offset of the standard deviation is TRL's 1e-4 instead of 1e-6.

    Args:
        token_level_rewards: (B, T); a response's reward is their sum.
        response_mask: (B, T), 1 where a token counts.
        index: (B,), the prompt of each response. Groups may be of several sizes, and their rows in any order.
        config: verl's `algorithm`; with `norm_adv_by_std_in_grpo`, which is verl's default, advantages are divided by
            the standard deviation of the group.

    Returns:
        Advantages and returns, which are the same; (B, T), 0 where the mask is.
    """
    groups: dict[Any, list[int]] = {}
    for row, prompt in enumerate(index):
        groups.setdefault(prompt, []).append(row)
    size = max(map(len, groups.values()))
    rewards = token_level_rewards.sum(-1).float()
    side_by_side = rewards.new_full((len(groups), size), torch.nan)  # a smaller group is one with unscored responses
    for place, rows in enumerate(groups.values()):
        side_by_side[place, : len(rows)] = rewards[rows]
    normalised = config is None or config.get("norm_adv_by_std_in_grpo", True)
    found = group_advantages(side_by_side.flatten(), size, "group" if normalised else "none").view(-1, size)
    advantages = torch.zeros_like(rewards)
    for place, rows in enumerate(groups.values()):
        advantages[rows] = found[place, : len(rows)]
    spread = advantages[:, None] * response_mask
    return spread, spread


def _refusal(name: str, missing: str) -> Callable[..., tuple[Tensor, Tensor]]:
    def refuse(*_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        raise ValueError(
            f"algorithm.adv_estimator={name} cannot run under verl: verl gives an estimator the rewards, the mask and "
            f"the prompt of each response, but not {missing}. Train it with TRL (abcgrpo.trl), or set "
            f"adv_estimator=group."
        )

    return refuse


ESTIMATORS = {"group": group} | {name: _refusal(name, missing) for name, missing in MISSING.items()}
"""What is registered, by verl's name for it."""


def register() -> None:
    """Give verl the estimators by their names.

    Raises:
        ValueError: another function has one of the names; verl says which.
    """
    for name, estimator in ESTIMATORS.items():
        register_adv_est(name)(estimator)
