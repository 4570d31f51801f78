"""The curves of the rules, against the paper's equations written out for numbers."""

import math

import pytest
import torch

from abcgrpo import Boundaries
from abcgrpo.curves import OLD_PROBABILITY, rule_curve
from abcgrpo.rules import RULES as KNOWN
from abcgrpo.rules import resolve_rule
from abcgrpo.tokens import Tokens

RULES = {"abc": Boundaries(), "grpo": Boundaries.grpo(0.2), "dual": Boundaries.dual_clip(0.2, 3.0)}


def expected(rule: Boundaries, ratio: float, advantage: float) -> tuple[float, float]:
    low, high = (
        (1 - rule.eps_pos_low, 1 + rule.eps_pos_high)
        if advantage > 0
        else (1 - rule.eps_neg_low, 1 + rule.eps_neg_high)
    )
    return min(max(ratio, low), high) * advantage, ratio * advantage if low < ratio < high else 0.0


@pytest.mark.parametrize(("side", "advantage"), [("positive", 1.0), ("negative", -1.0)])
@pytest.mark.parametrize("name", RULES)
def test_surrogate_and_gradient(name, side, advantage):
    rule, curve = RULES[name], rule_curve(RULES[name])
    found = curve[side]
    for ratio, surrogate, gradient in zip(curve["ratio"], found["surrogate"], found["gradient"], strict=True):
        assert (surrogate, gradient) == pytest.approx(expected(rule, ratio, advantage), abs=3e-5)


def test_it_goes_past_the_furthest_bound():
    assert max(rule_curve(RULES["dual"])["ratio"]) > 3.0
    assert max(rule_curve(RULES["abc"])["ratio"]) == 2.0


@pytest.mark.parametrize("name", KNOWN)
def test_every_rule_has_a_curve_whose_gradient_is_its_weight(name):
    rule = resolve_rule(name)
    curve = rule_curve(rule)
    assert all(map(math.isfinite, curve["positive"]["gradient"] + curve["negative"]["surrogate"]))
    for side, advantage in (("positive", 1.0), ("negative", -1.0)):
        for index in range(7, len(curve["ratio"]), 40):
            ratio = curve["ratio"][index]
            old = torch.full((1, 1), math.log(OLD_PROBABILITY), dtype=torch.float64)
            logprobs = old + math.log(ratio)
            mask = torch.ones(1, 1, dtype=torch.bool)
            tokens = Tokens(logprobs, old, (logprobs - old).exp(), torch.full_like(old, advantage), mask)
            assert curve[side]["gradient"][index] == pytest.approx(advantage * rule.weight(tokens).item(), abs=1e-3)


def test_rules_differ_where_they_should():
    gradients = {}
    for name, rule in RULES.items():
        curve = rule_curve(rule)
        gradients[name] = min(
            gradient
            for ratio, gradient in zip(curve["ratio"], curve["negative"]["gradient"], strict=True)
            if 1.5 < ratio < 2
        )
    assert gradients["abc"] == 0.0
    assert gradients["grpo"] == pytest.approx(-2.0, abs=0.02)
    assert gradients["dual"] == pytest.approx(-2.0, abs=0.02)
