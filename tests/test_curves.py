"""The curves of the rules, against the paper's equations written out for numbers."""

import math

import pytest

from abcgrpo import Boundaries
from abcgrpo.curves import rule_curves

RULES = {"abc": Boundaries(), "grpo": Boundaries.grpo(0.2), "dual": Boundaries.dual_clip(0.2, 3.0)}


def expected(rule: Boundaries, ratio: float, advantage: float) -> tuple[float, float]:
    low, high = (
        (1 - rule.eps_pos_low, 1 + rule.eps_pos_high)
        if advantage > 0
        else (1 - rule.eps_neg_low, 1 + rule.eps_neg_high)
    )
    return min(max(ratio, low), high) * advantage, ratio * advantage if low < ratio < high else 0.0


@pytest.mark.parametrize(("side", "advantage"), [("positive", 1.0), ("negative", -1.0)])
def test_surrogate_and_gradient(side, advantage):
    curves = rule_curves(RULES)
    assert max(curves["ratio"]) > 3.0  # past the furthest bound
    for name, rule in RULES.items():
        found = curves["rules"][name][side]
        for ratio, surrogate, gradient in zip(curves["ratio"], found["surrogate"], found["gradient"], strict=True):
            assert (surrogate, gradient) == pytest.approx(expected(rule, ratio, advantage), abs=3e-5)


def test_rules_differ_where_they_should():
    curves = rule_curves(RULES)
    at = next(index for index, ratio in enumerate(curves["ratio"]) if ratio > 2)
    gradients = {name: rule["negative"]["gradient"][at] for name, rule in curves["rules"].items()}
    assert gradients["abc"] == 0.0
    assert gradients["grpo"] == gradients["dual"] == pytest.approx(-curves["ratio"][at], abs=1e-4)
    assert not math.isclose(gradients["abc"], gradients["grpo"])
