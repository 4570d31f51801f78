"""Batches of token log-probs as verl hands them to a policy loss, and actors' configurations."""

from typing import NamedTuple

import torch
from torch import Tensor
from verl.workers.config import FSDPActorConfig, PolicyLossConfig

from abcgrpo import Boundaries
from abcgrpo.verl import ABCGRPOPolicyLossConfig

LENGTHS = (17, 5, 9, 1, 12, 0, 17, 17, 3, 8, 17, 2)
"""Tokens of the responses: one has none, one a single token."""


class TokenBatch(NamedTuple):
    """What a policy loss takes; (12, 17)."""

    old_log_prob: Tensor
    log_prob: Tensor
    advantages: Tensor
    response_mask: Tensor
    rollout_is_weights: Tensor


def extreme_batch(seed: int) -> TokenBatch:
    """Every response has tokens; old probabilities go from near 0 to near 1."""
    generator = torch.Generator().manual_seed(seed)
    batch = token_batch(seed)
    depth = torch.rand(batch.log_prob.shape, generator=generator)
    old = torch.where(depth < 0.3, -0.001 * depth, torch.where(depth > 0.8, -12 * depth, -2 * depth))
    new = (old + 0.8 * torch.randn(old.shape, generator=generator)).clamp(max=-1e-6)
    mask = batch.response_mask.clone()
    mask[:, 0] = True
    return batch._replace(old_log_prob=old, log_prob=new, response_mask=mask)


def token_batch(seed: int) -> TokenBatch:
    """Ratios from far below to far above 1, advantages of both signs and 0, responses of many lengths."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(LENGTHS), max(LENGTHS))
    old_log_prob = -3 * torch.rand(shape, generator=generator)
    log_prob = old_log_prob + torch.randn(shape, generator=generator)
    advantages = torch.randn(shape[0], 1, generator=generator).expand(shape).contiguous()
    advantages[2] = 0
    mask = torch.arange(shape[1]) < torch.tensor(LENGTHS)[:, None]
    return TokenBatch(old_log_prob, log_prob, advantages, mask, 2 * torch.rand(shape, generator=generator))


def thresholds(bounds: Boundaries) -> ABCGRPOPolicyLossConfig:
    """The policy-loss configuration with these thresholds."""
    return ABCGRPOPolicyLossConfig(
        eps_pos_high=bounds.eps_pos_high,
        eps_pos_low=bounds.eps_pos_low,
        eps_neg_high=bounds.eps_neg_high,
        eps_neg_low=bounds.eps_neg_low,
    )


def ruled(rule, **options) -> ABCGRPOPolicyLossConfig:
    """The policy-loss configuration with this rule."""
    return ABCGRPOPolicyLossConfig(rule=rule, **options)


def actor(policy_loss: PolicyLossConfig, global_batch_info: dict | None = None, **options) -> FSDPActorConfig:
    """verl's configuration of an FSDP2 actor with that policy loss."""
    config = FSDPActorConfig(
        strategy="fsdp2", rollout_n=1, ppo_micro_batch_size_per_gpu=1, policy_loss=policy_loss, **options
    )
    config.global_batch_info.update(global_batch_info or {})
    return config
