"""Batches that reach every bound of the rules that the tests compare."""

from dataclasses import dataclass

import torch
from torch import Tensor

from abcgrpo import Boundaries
from abcgrpo.rules import RULES, AdaptiveRule, Rule, resolve_rule


@dataclass
class Batch:
    """Eight responses of up to twelve tokens."""

    old: Tensor
    new: Tensor
    sampler: Tensor
    advantages: Tensor
    mask: Tensor


def batch(seed: int = 0) -> Batch:
    """Ratios from about 0.1 to 10 for both signs of the advantage; the sampler's log-probs differ from the old ones."""
    generator = torch.Generator().manual_seed(seed)
    shape = (8, 12)
    old = -3 * torch.rand(shape, generator=generator)
    new = (old + torch.randn(shape, generator=generator)).requires_grad_()
    sampler = old + 0.3 * torch.randn(shape, generator=generator)
    advantages = torch.tensor([1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 0.0, -1.5])
    mask = torch.arange(12) < torch.randint(3, 13, (8, 1), generator=generator)
    return Batch(old, new, sampler, advantages[:, None].expand(shape).contiguous(), mask)


def known_rules() -> dict[str, Rule]:
    """Every known rule that engines take (none that adapts or looks across responses), with its defaults, and two
    settings of four bounds."""
    rules = {name: resolve_rule(name) for name in RULES}
    chosen = {n: r for n, r in rules.items() if not isinstance(r, AdaptiveRule) and r.spans == "response"}
    return chosen | {
        "four unequal bounds": Boundaries(0.2, 0.3, 0.1, 0.25),
        "dual-clip": Boundaries.dual_clip(0.2, 3.0),
    }
