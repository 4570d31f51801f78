"""What a clipping rule does to one token: surrogate and gradient against the ratio r, computed with the objective."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from abcgrpo.boundaries import Boundaries
from abcgrpo.objective import token_loss

LOWEST = 0.02
"""The smallest ratio that is drawn."""
LEAST_WIDTH = 2.0
"""The drawn ratios go at least this far, and past every bound."""
POINTS = 240
STEP_WIDTH = 1e-4
"""A bound is drawn as a step of this width."""


def rule_curves(rules: Mapping[str, Boundaries]) -> dict[str, Any]:
    """Curves of several rules over the same ratios.

    `ratio` holds the ratios; `rules.<name>.positive` and `.negative` (Â = +1 and −1) hold, at each ratio, `surrogate`
    (r̃·Â, what is maximized) and `gradient` (its derivative in the token's log-prob: Â·r inside the bounds, 0 outside).
    """
    bounds = sorted({bound for rule in rules.values() for bound in _bounds(rule)})
    furthest = max([LEAST_WIDTH, *(bound * 1.25 for bound in bounds)])
    grid = torch.linspace(LOWEST, furthest, POINTS, dtype=torch.float64).tolist()
    ratio = sorted({*grid, *(bound + side for bound in bounds for side in (-STEP_WIDTH, STEP_WIDTH))})
    return {
        "ratio": [round(value, 5) for value in ratio],
        "rules": {
            name: {"positive": _curve(rule, ratio, +1.0), "negative": _curve(rule, ratio, -1.0)}
            for name, rule in rules.items()
        },
    }


def _bounds(rule: Boundaries) -> list[float]:
    """The ratios at which a rule clips, open bounds left out."""
    candidates = (1 + rule.eps_pos_high, 1 - rule.eps_pos_low, 1 + rule.eps_neg_high, 1 - rule.eps_neg_low)
    return [bound for bound in candidates if math.isfinite(bound) and bound > LOWEST]


def _curve(rule: Boundaries, ratio: list[float], advantage: float) -> dict[str, list[float]]:
    logprobs = torch.tensor([ratio]).log().requires_grad_()
    surrogate = -token_loss(logprobs, torch.zeros_like(logprobs), torch.tensor([advantage]), rule)
    (gradient,) = torch.autograd.grad(surrogate.sum(), logprobs)
    return {"surrogate": _rounded(surrogate), "gradient": _rounded(gradient)}


def _rounded(values: torch.Tensor) -> list[float]:
    return [round(value, 5) + 0.0 for value in values.detach()[0].tolist()]
