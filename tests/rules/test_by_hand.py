"""Rules without a library's function: weights worked out by hand, and references of a few lines."""

import math

import pytest
import torch

from abcgrpo.rules import resolve_rule
from abcgrpo.tokens import tokens_of

GOOD, BAD = 1.0, -1.0


def weight(rule, ratio: float, advantage: float, old_probability: float = 0.05) -> float:
    """w of one token."""
    old = torch.tensor([[math.log(old_probability)]], dtype=torch.float64)
    tokens = tokens_of(old + math.log(ratio), old, torch.tensor([advantage], dtype=torch.float64), torch.ones(1, 1))
    return resolve_rule(rule).weight(tokens).item()


@pytest.mark.parametrize(
    ("rule", "old", "inside", "outside"),
    [
        # |π − π_old| ≤ 0.1 at π_old = 0.5 is 0.8 ≤ r ≤ 1.2; at 0.01 only r > 11 is outside.
        ("abc_probability", 0.5, [(1.19, GOOD), (0.81, GOOD), (1.19, BAD), (0.81, BAD)], None),
        ("abc_probability", 0.5, None, [(1.21, GOOD), (0.79, GOOD), (1.21, BAD), (0.79, BAD)]),
        ("abc_probability", 0.01, [(10.9, GOOD), (0.001, BAD)], [(11.1, GOOD), (11.1, BAD)]),
        # δ = 0.2 at π_old = 0.5: 0.6 ≤ r ≤ 1.4, outward only.
        ("dppo_tv", 0.5, [(1.39, GOOD), (0.61, BAD), (0.1, GOOD), (1.9, BAD)], [(1.41, GOOD), (0.59, BAD)]),
        # The paper's own numbers: [0.769, 1.187] at 0.9 and [0.5, 5.0] at 0.01.
        ("dcpo", 0.9, [(1.186, GOOD), (0.770, BAD), (0.1, GOOD)], [(1.1876, GOOD), (0.768, BAD)]),
        ("dcpo", 0.01, [(4.99, GOOD), (0.501, BAD), (9.9, BAD)], [(5.01, GOOD), (0.499, BAD), (10.1, BAD)]),
        ("ce_gppo", 0.05, [(1.19, GOOD), (0.81, BAD), (0.1, GOOD), (5.0, BAD)], None),
        ("m2po", 0.05, [(1.2, GOOD), (0.82, BAD), (0.1, GOOD), (5.0, BAD)], [(1.23, GOOD), (0.81, BAD)]),
        ("only_q1", 0.05, [(0.1, GOOD), (0.1, BAD), (9.0, BAD)], [(1.21, GOOD)]),
        ("only_q2", 0.05, [(9.0, GOOD), (0.1, BAD), (9.0, BAD)], [(0.79, GOOD)]),
        ("only_q3", 0.05, [(9.0, GOOD), (0.1, GOOD), (9.0, BAD)], [(0.79, BAD)]),
        ("only_q4", 0.05, [(9.0, GOOD), (0.1, GOOD), (0.1, BAD)], [(1.21, BAD)]),
        ("open", 0.05, [(9.0, GOOD), (0.1, GOOD), (0.1, BAD), (9.0, BAD)], None),
        ("abc_grpo", 0.05, [(1.19, GOOD), (0.81, BAD)], [(1.21, GOOD), (0.79, GOOD), (1.21, BAD), (0.79, BAD)]),
    ],
)
def test_a_hard_bound_lies_where_the_formula_says(rule: str, old: float, inside, outside) -> None:
    for ratio, advantage in inside or []:
        assert weight(rule, ratio, advantage, old) == pytest.approx(ratio, rel=1e-6)
    for ratio, advantage in outside or []:
        assert weight(rule, ratio, advantage, old) == 0


@pytest.mark.parametrize(
    ("rule", "ratio", "advantage", "expected"),
    [
        ("ce_gppo", 1.5, GOOD, 1.0 * 1.2),
        ("ce_gppo", 0.5, BAD, 0.5 * 0.8),
        ({"name": "ce_gppo", "beta_low": 0, "beta_high": 0}, 1.5, GOOD, 0.0),
        ("topr", 3.0, GOOD, 1.0),
        ("topr", 0.3, GOOD, 1.0),
        ("topr", 0.3, BAD, 0.3),
        ("topr", 3.0, BAD, 1.0),
        ("cispo", 7.0, BAD, 5.0),
        ({"name": "cispo", "floor": 0.5}, 0.1, GOOD, 0.5),
        ("spo", 1.1, GOOD, 1.1 * (1 - 0.1 / 0.2)),
        ("spo", 1.4, GOOD, 1.4 * (1 - 0.4 / 0.2)),
        ("spo", 0.9, BAD, 0.9 * (1 - 0.1 / 0.2)),
        ("spo", 0.7, GOOD, 0.7 * (1 + 0.3 / 0.2)),
        ("dppo_tv", 19.0, BAD, 19.0),
        ({"name": "dppo_tv", "cap": 3}, 19.0, BAD, 3.0),
        ("gmpo", 1.4, GOOD, 1.4),
        ("gmpo", 1.6, GOOD, 0.0),
        ("gmpo", 0.1, GOOD, 0.1),
        ("gmpo", 0.5, BAD, 0.0),
    ],
)
def test_the_weight_of_one_token(rule, ratio: float, advantage: float, expected: float) -> None:
    assert weight(rule, ratio, advantage) == pytest.approx(expected, rel=1e-6)


def test_dppo_kl_drops_by_the_divergence_of_two_outcomes() -> None:
    for old, ratio, advantage in [
        (0.5, 1.3, GOOD),
        (0.5, 1.2, GOOD),
        (0.5, 0.6, BAD),
        (0.9, 0.9, BAD),
        (0.9, 0.6, GOOD),
    ]:
        new = old * ratio
        divergence = old * math.log(old / new) + (1 - old) * math.log((1 - old) / (1 - new))
        outward = (ratio - 1) * advantage > 0
        expected = 0 if outward and divergence > 0.05 else ratio
        assert weight("dppo_kl", ratio, advantage, old) == pytest.approx(expected, rel=1e-6)


def test_gmpo_weighs_all_tokens_of_a_response_alike() -> None:
    ratios = torch.tensor([[1.2, 0.9, 2.0, 7.0]], dtype=torch.float64)  # the last one is padding
    mask = torch.tensor([[1, 1, 1, 0]])
    tokens = tokens_of(ratios.log() - 3, torch.full_like(ratios, -3), torch.tensor([2.0], dtype=torch.float64), mask)
    mean = math.exp((math.log(1.2) + math.log(0.9) + 0.4) / 3)
    assert resolve_rule("gmpo").weight(tokens)[0, :3].tolist() == pytest.approx([mean, mean, 0.0])


def test_gspo_clips_whole_responses() -> None:
    ratios = torch.tensor([[1.2, 0.9], [1.001, 0.9998]], dtype=torch.float64)
    tokens = tokens_of(
        ratios.log() - 3, torch.full_like(ratios, -3), torch.ones(2).double(), torch.ones(2, 2), "sequence"
    )
    inside = math.sqrt(1.001 * 0.9998)
    assert inside == pytest.approx(1.0004, abs=1e-6)
    found = resolve_rule({"name": "gspo", "high": 5e-4}).weight(tokens)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0], [inside, inside]], dtype=torch.float64))


@pytest.mark.parametrize("seed", range(5))
def test_m2po_drops_the_fewest_that_bring_the_mean_down(seed: int) -> None:
    """Against the definition: try every number of dropped tokens."""
    generator = torch.Generator().manual_seed(seed)
    log_ratio = 0.5 * torch.randn(4, 8, generator=generator, dtype=torch.float64)
    advantages = torch.tensor([1.0, -1.0, 0.5, 0.0], dtype=torch.float64)
    tokens = tokens_of(log_ratio - 4, torch.full_like(log_ratio, -4), advantages, torch.ones(4, 8))
    candidates = [
        (log_ratio[i, t].item() ** 2, i, t)
        for i in range(3)
        for t in range(8)
        if (log_ratio[i, t] > 0) == (advantages[i] > 0)
    ]
    largest_first = sorted(candidates, reverse=True)
    kept_means = [sum(m for m, *_ in largest_first[n:]) / len(largest_first[n:]) for n in range(len(candidates))]
    count = next((n for n, mean in enumerate(kept_means) if mean < 0.04), len(candidates))
    expected = log_ratio.exp()
    for _, i, t in largest_first[:count]:
        expected[i, t] = 0
    assert count > 0
    torch.testing.assert_close(resolve_rule("m2po").weight(tokens), expected)


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_sapo_falls_off_smoothly(tau: float) -> None:
    def gate(ratio: float) -> float:
        sigmoid = 1 / (1 + math.exp(-tau * (ratio - 1)))
        return 4 * ratio * sigmoid * (1 - sigmoid)

    for ratio in (0.1, 0.9, 1.0, 1.5, 4.0):
        assert weight({"name": "sapo", "tau_pos": tau}, ratio, GOOD) == pytest.approx(gate(ratio), rel=1e-6)
        assert weight({"name": "sapo", "tau_neg": tau}, ratio, BAD) == pytest.approx(gate(ratio), rel=1e-6)
