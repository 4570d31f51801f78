"""Rules whose thresholds move, by hand."""

import math

import pytest
import torch

from abcgrpo.rules import resolve_rule
from abcgrpo.rules.bapo import BAPO
from abcgrpo.rules.self_tuned import SelfTuned
from abcgrpo.tokens import tokens_of


def tokens(ratios: list[list[float]], advantages: list[float]):
    ratio = torch.tensor(ratios)
    return tokens_of(ratio.log() - 1, torch.full_like(ratio, -1.0), torch.tensor(advantages), torch.ones_like(ratio))


def test_thresholds_move_by_the_share_that_each_quadrant_clips() -> None:
    rule = SelfTuned(target_pos_high=0.5, target_neg_low=0.1, rate=2.0)
    # Q1: 1 of 2 clipped (target 0.5). Q2: none of 1 (0.01). Q4: no token. Q3: 2 of 3 clipped (0.1). One has not moved.
    moved = rule.update(rule.measure(tokens([[1.3, 1.1, 0.9], [0.5, 0.7, 0.9], [1.0, 1.0, 1.0]], [2.0, -1.0, -1.0])))
    assert moved == {
        "eps_pos_high": pytest.approx(0.2),
        "eps_pos_low": pytest.approx(0.2 * math.exp(2 * (0 - 0.01))),
        "eps_neg_high": 0.2,
        "eps_neg_low": pytest.approx(0.2 * math.exp(2 * (2 / 3 - 0.1))),
    }
    assert rule.state_dict() == moved
    assert rule.boundaries.eps_neg_low == moved["eps_neg_low"]


def test_thresholds_stay_within_their_limits() -> None:
    rule = SelfTuned(rate=100.0, smallest=0.1, largest=0.3)
    moved = rule.update(rule.measure(tokens([[9.0, 9.0, 0.9]], [1.0])))
    assert moved["eps_pos_high"] == 0.3
    assert moved["eps_pos_low"] == pytest.approx(max(0.1, 0.2 * math.exp(-1)))


def test_the_first_mini_batch_of_a_rollout_moves_nothing() -> None:
    for name in ("self_tuned", "bapo"):
        rule = resolve_rule(name)
        start = rule.state_dict()
        assert rule.update(rule.measure(tokens([[1.0, 1.0]], [1.0]))) == start


def test_a_quadrant_settles_at_its_target() -> None:
    """Ratios from a known distribution: the threshold goes to its quantile."""
    generator = torch.Generator().manual_seed(0)
    rule = SelfTuned(target_pos_high=0.1, rate=1.0, largest=10.0)
    for _ in range(200):
        ratio = (0.5 * torch.randn(1, 4000, generator=generator).abs()).exp()
        rule.update(rule.measure(tokens(ratio.tolist(), [1.0])))
    quantile = math.exp(0.5 * 1.6449)  # 10% of |N(0, 1)| lie above 1.6449
    assert 1 + rule.boundaries.eps_pos_high == pytest.approx(quantile, rel=0.03)


def test_bapo_searches_low_first_and_then_high() -> None:
    # One positive token of ratio 1.6 and one negative: Σ⁺ = min(1.6, high), Σ⁻ = weight·max(ratio, low).
    def bounds(ratio: float, weight: float) -> tuple[float, float]:
        rule = BAPO()
        moved = rule.update(rule.measure(tokens([[1.6], [ratio]], [1.0, -weight])))
        return moved["low"], moved["high"]

    assert bounds(0.5, 1.0) == (0.6, 1.2)  # 1.2 ≥ 0.6: in balance at once
    assert bounds(0.5, 4.0) == (0.8, 2.0)  # 1.6 < 4·0.6: nothing helps, both at their maxima
    assert bounds(0.9, 1.48) == (0.8, pytest.approx(1.35))  # Σ⁻ = 1.332 whatever low is; 1.3 < 1.332 ≤ 1.35


def test_bapo_clips_within_the_bounds_that_it_found() -> None:
    rule = BAPO()
    rule.load_state_dict({"low": 0.7, "high": 1.5})
    found = rule.weight(tokens([[1.4, 1.6, 0.1], [0.65, 0.75, 2.9], [3.1, 1.0, 1.0]], [1.0, -1.0, -1.0]))
    torch.testing.assert_close(found, torch.tensor([[1.4, 0.0, 0.1], [0.0, 0.75, 2.9], [0.0, 1.0, 1.0]]))


def test_state_is_restored_bit_for_bit() -> None:
    first = SelfTuned()
    first.update(first.measure(tokens([[1.3, 1.1, 0.7, 0.9]], [1.0])))
    second = SelfTuned()
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()
    assert second.copy().state_dict() != first.state_dict()
    assert first.to_dict() == SelfTuned().to_dict()  # parameters, no state


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "self_tuned", "start": 2.0}, "between smallest"),
        ({"name": "self_tuned", "target_pos_low": 1.5}, "target_pos_low must be a share"),
        ({"name": "bapo", "low_max": 0.5}, "low_max must lie between"),
        ({"name": "bapo", "high_max": 1.1}, "at least high_start"),
        ({"name": "cispo", "floor": 6}, "floor must not be above cap"),
        ({"name": "dual_clip", "c": 1}, "c must be a number > 1 or inf"),
        ({"name": "two_sided", "delta": 1.1}, "delta must be above 1 \\+ eps"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_rule(given)
