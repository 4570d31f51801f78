"""Random batches as rules meet them, and what is computed from them."""

from typing import NamedTuple

import torch
from torch import Tensor

from abcgrpo.objective import Reduction, policy_loss
from abcgrpo.rules import Rule

LENGTHS = (11, 4, 1, 7, 11, 0, 9, 2)
"""Tokens of the responses: one has none, one a single token."""


class TokenBatch(NamedTuple):
    """What `policy_loss` takes; (8, 11), advantages (8,)."""

    logprobs: Tensor
    old_logprobs: Tensor
    advantages: Tensor
    mask: Tensor

    def rows(self, cut: slice) -> "TokenBatch":
        """Some of its responses."""
        return TokenBatch(*(tensor[cut] for tensor in self))


def token_batch(seed: int, spread: float = 0.6, dtype: torch.dtype = torch.float32) -> TokenBatch:
    """Old probabilities from near 0 to near 1, ratios on both sides of every bound, advantages of both signs and 0."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(LENGTHS), max(LENGTHS))
    depth = torch.rand(shape, generator=generator, dtype=torch.float64)
    old = torch.where(depth < 0.3, -0.001 * depth, torch.where(depth > 0.8, -12 * depth, -2 * depth))
    new = (old + spread * torch.randn(shape, generator=generator, dtype=torch.float64)).clamp(max=-1e-6)
    advantages = torch.randn(shape[0], generator=generator, dtype=torch.float64)
    advantages[3] = 0
    mask = torch.arange(shape[1]) < torch.tensor(LENGTHS)[:, None]
    return TokenBatch(new.to(dtype), old.to(dtype), advantages.to(dtype), mask)


def loss_and_gradient(rule: Rule, batch: TokenBatch, reduction: Reduction = "token_mean", **options):
    """The loss, and its gradient in the log-probs."""
    logprobs = batch.logprobs.clone().requires_grad_()
    loss = policy_loss(logprobs, batch.old_logprobs, batch.advantages, batch.mask, rule, reduction, **options)
    (gradient,) = torch.autograd.grad(loss, logprobs)
    return loss.detach(), gradient
