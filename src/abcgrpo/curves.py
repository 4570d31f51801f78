"""What a clipping rule does to one token: surrogate and gradient against the ratio r, computed with the rule itself."""

import math
from typing import Any

import torch

from abcgrpo.boundaries import Boundaries
from abcgrpo.rules import Rule
from abcgrpo.tokens import Tokens

LOWEST = 0.02
"""The smallest ratio that is drawn."""
LEAST_WIDTH = 2.0
"""The drawn ratios go at least this far, and past every bound."""
POINTS = 240
STEP_WIDTH = 1e-4
"""A bound is drawn as a step of this width."""
OLD_PROBABILITY = 0.1
"""Of the token when it was sampled, for rules that look at it."""


def rule_curve(rule: Rule) -> dict[str, Any]:
    """The curve of a rule, in the state of its beginning, for one token that is a response and a batch by itself.

    `ratio` holds the ratios; `positive` and `negative` (Â = +1 and −1) hold, at each of them, `surrogate` (what is
    maximized) and `gradient` (its derivative in the token's log-prob, Â·w). `old_probability` is that of the token.
    """
    bounds = _bounds(rule)
    furthest = max([LEAST_WIDTH, *(bound * 1.25 for bound in bounds)])
    grid = torch.linspace(LOWEST, furthest, POINTS, dtype=torch.float64).tolist()
    ratio = sorted({*grid, *(bound + side for bound in bounds for side in (-STEP_WIDTH, STEP_WIDTH))})
    return {
        "ratio": [round(value, 5) for value in ratio],
        "old_probability": OLD_PROBABILITY,
        "positive": _side(rule, ratio, +1.0),
        "negative": _side(rule, ratio, -1.0),
    }


def _bounds(rule: Rule) -> list[float]:
    """The ratios at which a rule of four bounds clips, open ones left out; a grid is enough for any other rule."""
    four = rule if isinstance(rule, Boundaries) else getattr(rule, "boundaries", None)
    if not isinstance(four, Boundaries):
        return []
    candidates = (1 + four.eps_pos_high, 1 - four.eps_pos_low, 1 + four.eps_neg_high, 1 - four.eps_neg_low)
    return sorted({bound for bound in candidates if math.isfinite(bound) and bound > LOWEST})


def _side(rule: Rule, ratios: list[float], advantage: float) -> dict[str, list[float]]:
    """A row of one token for each ratio; of a rule that looks at the whole batch, a batch for each."""
    rows = torch.tensor(ratios, dtype=torch.float64)[:, None]
    parts = rows.split(1) if rule.spans == "batch" else (rows,)
    surrogates, gradients = [], []
    for ratio in parts:
        old = torch.full_like(ratio, math.log(OLD_PROBABILITY))
        logprobs = (old + ratio.log()).requires_grad_()
        mask, advantages = torch.ones_like(ratio, dtype=torch.bool), torch.full_like(ratio, advantage)
        surrogate = rule.surrogate(Tokens(logprobs, old, (logprobs - old).exp(), advantages, mask))
        gradient = torch.zeros_like(ratio)
        if surrogate.requires_grad:
            (gradient,) = torch.autograd.grad(surrogate.sum(), logprobs)
        surrogates.append(surrogate.detach())
        gradients.append(gradient)
    return {"surrogate": _rounded(torch.cat(surrogates)), "gradient": _rounded(torch.cat(gradients))}


def _rounded(values: torch.Tensor) -> list[float]:
    return [round(value, 5) + 0.0 for value in values[:, 0].tolist()]
