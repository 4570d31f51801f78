"""What a clipping rule does to one token: its weight, as surrogate and gradient against the ratio r, for any rule."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from abcgrpo.rules.rule import Rule
from abcgrpo.tokens import tokens_of

OLD_PROBABILITY = 0.1
"""Old probability of the token that is drawn. A ratio of at most 10 is possible then."""
LOWEST = 0.02
"""The smallest ratio that is drawn."""
LEAST_WIDTH = 2.0
"""The drawn ratios go at least this far, and past everything that a rule does."""
POINTS = 160
SEARCHED = 1000
"""Ratios at which jumps are looked for."""
JUMP = 0.02
"""A change of w/r within `STEP_WIDTH` that is a jump."""
STEP_WIDTH = 1e-4
"""A jump is drawn as a step of twice this width."""


def rule_curve(rule: Rule, old_probability: float = OLD_PROBABILITY) -> dict[str, Any]:
    """A rule's curves for a response of one token that had this probability; of an adaptive rule, in its present state.

    `ratio` holds the ratios; `positive` and `negative` (Â = +1 and −1) hold, at each ratio, `gradient` (Â·w, the
    derivative of what is maximized in the token's log-prob) and `surrogate` (what has this gradient, Â at r = 1: with
    bounds r̃·Â). `old_probability` is the token's, or None if the rule does not depend on it.
    """
    searched = torch.linspace(LOWEST, 1 / old_probability, SEARCHED, dtype=torch.float64)
    found = [each for side in (1.0, -1.0) for each in _events(rule, searched, side, old_probability)]
    furthest = min(max(LEAST_WIDTH, *(1.25 * ratio for ratio, _ in found), 0.0), 1 / old_probability)
    jumps = [ratio for ratio, jumps in found if jumps]
    drawn = {1.0, *torch.linspace(LOWEST, furthest, POINTS, dtype=torch.float64).tolist()}
    drawn |= {ratio + side for ratio in jumps for side in (-STEP_WIDTH, STEP_WIDTH)}
    ratio = sorted(value for value in drawn if value <= furthest)
    values = torch.tensor(ratio, dtype=torch.float64)
    other = max(_change(rule, searched, side, old_probability) for side in (1.0, -1.0))
    return {
        "ratio": [round(value, 5) for value in ratio],
        "positive": _curve(rule, values, +1.0, old_probability),
        "negative": _curve(rule, values, -1.0, old_probability),
        "old_probability": old_probability if other > JUMP else None,
    }


def token_weights(
    rule: Rule, ratios: Sequence[float] | Tensor, advantage: float, old_probability: float = OLD_PROBABILITY
) -> Tensor:
    """w at each ratio, for responses of one token that had this probability; as many float64 numbers as ratios."""
    ratio = torch.as_tensor(ratios, dtype=torch.float64)[:, None]
    old = torch.full_like(ratio, math.log(old_probability))
    batches = range(len(ratio)) if rule.spans == "batch" else [slice(None)]
    found = []
    for rows in batches:
        part = ratio[rows].reshape(-1, 1)
        mask = torch.ones_like(part)
        given = torch.full_like(part[:, 0], advantage)
        before = old[rows].reshape(-1, 1)
        found.append(rule.weight(tokens_of(before + part.log(), before, given, mask, rule.level))[:, 0])
    return torch.cat(found)


def _curve(rule: Rule, ratio: Tensor, advantage: float, old_probability: float) -> dict[str, list[float]]:
    weight = token_weights(rule, ratio, advantage, old_probability)
    slope = weight / ratio  # of the surrogate in r, since d log π = dr / r
    steps = (slope[1:] + slope[:-1]) / 2 * ratio.diff()
    rising = torch.cat([torch.zeros(1, dtype=torch.float64), steps.cumsum(0)])
    surrogate = 1 + rising - rising[ratio == 1.0]
    return {"surrogate": _rounded(advantage * surrogate), "gradient": _rounded(advantage * weight)}


def _events(rule: Rule, ratio: Tensor, advantage: float, old_probability: float) -> list[tuple[float, bool]]:
    """The ratios at which something happens: jumps of w/r (True), and where it first leaves 1 above r = 1 (False)."""
    slope = token_weights(rule, ratio, advantage, old_probability) / ratio
    low, high = ratio[:-1], ratio[1:]
    steep = (slope.diff().abs() > JUMP).nonzero()[:, 0]
    low, high, below, above = low[steep], high[steep], slope[:-1][steep], slope[1:][steep]
    while len(low) and (high - low).max() > STEP_WIDTH:
        middle = (low + high) / 2
        between = token_weights(rule, middle, advantage, old_probability) / middle
        in_lower_half = (between - below).abs() > (above - between).abs()
        low, below = torch.where(in_lower_half, low, middle), torch.where(in_lower_half, below, between)
        high, above = torch.where(in_lower_half, middle, high), torch.where(in_lower_half, between, above)
    jumps = ((low + high) / 2)[(above - below).abs() > JUMP].tolist()
    left = ratio[(ratio > 1) & ((slope - 1).abs() > 1e-3)]
    return [*((jump, True) for jump in jumps), *((float(value), False) for value in left[:1])]


def _change(rule: Rule, ratio: Tensor, advantage: float, old_probability: float) -> float:
    """How much w/r changes where the old probability is smaller."""
    weights = [token_weights(rule, ratio, advantage, old) for old in (old_probability, old_probability / 5)]
    return float(((weights[0] - weights[1]).abs() / ratio).max())


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 5) + 0.0 for value in values.tolist()]
