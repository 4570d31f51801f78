"""The curves of the rules, against the paper's equations written out for numbers."""

import pytest

from abcgrpo import Boundaries
from abcgrpo.curves import rule_curve, token_weights
from abcgrpo.rules import RULES, resolve_rule

BOUNDED = {"abc": Boundaries(), "grpo": Boundaries.grpo(0.2), "dual": Boundaries.dual_clip(0.2, 3.0)}


def expected(rule: Boundaries, ratio: float, advantage: float) -> tuple[float, float]:
    low, high = (
        (1 - rule.eps_pos_low, 1 + rule.eps_pos_high)
        if advantage > 0
        else (1 - rule.eps_neg_low, 1 + rule.eps_neg_high)
    )
    return min(max(ratio, low), high) * advantage, ratio * advantage if low < ratio < high else 0.0


@pytest.mark.parametrize(("side", "advantage"), [("positive", 1.0), ("negative", -1.0)])
@pytest.mark.parametrize("rule", BOUNDED.values(), ids=BOUNDED)
def test_surrogate_and_gradient(rule, side, advantage):
    curve = rule_curve(rule)
    assert curve["old_probability"] is None
    for ratio, surrogate, gradient in zip(
        curve["ratio"], curve[side]["surrogate"], curve[side]["gradient"], strict=True
    ):
        assert (surrogate, gradient) == pytest.approx(expected(rule, ratio, advantage), abs=2e-4)


def test_the_drawn_ratios_go_past_every_bound():
    assert max(rule_curve(BOUNDED["dual"])["ratio"]) == pytest.approx(3.75, abs=0.01)
    assert max(rule_curve(resolve_rule("cispo"))["ratio"]) == pytest.approx(6.25, abs=0.02)
    assert max(rule_curve(resolve_rule("open"))["ratio"]) == 2.0


def test_what_depends_on_the_old_probability_says_so():
    dependent = {name for name in RULES if rule_curve(resolve_rule(name))["old_probability"] is not None}
    assert dependent == {"dppo_tv", "dppo_kl", "abc_probability", "dcpo"}


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_drawn(name):
    rule = resolve_rule(name)
    curve = rule_curve(rule)
    for side, advantage in (("positive", 1.0), ("negative", -1.0)):
        at_one = curve["ratio"].index(1.0)
        assert curve[side]["surrogate"][at_one] == advantage
        assert curve[side]["gradient"][at_one] == pytest.approx(advantage, abs=1e-5)
        weights = token_weights(rule, curve["ratio"][::20], advantage)
        assert curve[side]["gradient"][::20] == pytest.approx((advantage * weights).tolist(), abs=2e-3)
        surrogate = curve[side]["surrogate"]
        slopes = [
            (surrogate[k + 1] - surrogate[k]) / (curve["ratio"][k + 1] - curve["ratio"][k])
            for k in range(20, len(surrogate) - 1, 20)
        ]
        assert all(abs(slope) < 60 for slope in slopes)


def test_held_weights_go_on_rising_beyond_the_bound():
    held, clipped = rule_curve(resolve_rule({"name": "cispo", "cap": 1.2})), rule_curve(resolve_rule("grpo"))
    assert held["positive"]["surrogate"][-1] > clipped["positive"]["surrogate"][-1] + 0.3
    assert held["positive"]["gradient"][-1] == pytest.approx(1.2)
