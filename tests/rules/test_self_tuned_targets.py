"""Targets of `self_tuned` read off a run: with them, a rule whose thresholds are 0.2 stays where it is on average."""

import math

import pytest
import torch

from abcgrpo.errors import UserError
from abcgrpo.quadrants import MOVED, clip_events
from abcgrpo.rules import resolve_rule
from abcgrpo.tokens import tokens_of
from measurements.self_tuned_targets import targets


def steps(number: int = 6):
    """Optimizer steps of GRPO, the first of them right after a rollout."""
    for seed in range(number):
        torch.manual_seed(seed)
        old = -torch.rand(8, 50)
        drift = 0.0 if seed == 0 else 0.15 * seed
        yield tokens_of(old + drift * torch.randn(8, 50) * 0.5, old, torch.randn(8))


def logged(tokens):
    seen = (tokens.ratio, tokens.advantages, tokens.mask)
    pairs = {"clip": clip_events(*seen), "quadrant": clip_events(*seen, MOVED)}
    return {
        f"{name}/q{k}": events[k - 1].sum().item() / tokens.mask.sum().item()
        for name, events in pairs.items()
        for k in (1, 2, 3, 4)
    }


def test_with_these_targets_thresholds_of_a_fifth_stay_on_average() -> None:
    found = targets(logged(tokens) for tokens in steps())
    rule = resolve_rule({"name": "self_tuned", **found})
    drift = dict.fromkeys(rule.state_dict(), 0.0)
    for tokens in steps():
        at_rest = rule.copy()
        for name, value in at_rest.update(at_rest.measure(tokens)).items():
            drift[name] += math.log(value / 0.2)
    assert drift == pytest.approx(dict.fromkeys(drift, 0.0), abs=1e-9)
    assert len(set(found.values())) == 4


def test_by_hand() -> None:
    lines = [
        {"loss": 1.0, **{f"quadrant/q{k}": 0.0 for k in (1, 2, 3, 4)}, **{f"clip/q{k}": 0.0 for k in (1, 2, 3, 4)}},
        {"quadrant/q1": 0.5, "clip/q1": 0.1, **{f"{n}/q{k}": 0.2 for n in ("quadrant", "clip") for k in (2, 3, 4)}},
        {"quadrant/q1": 0.1, "clip/q1": 0.01, "quadrant/q3": 0.1, "clip/q3": 0.0},
    ]
    expected = {"target_pos_high": 0.15, "target_pos_low": 1.0, "target_neg_high": 1.0, "target_neg_low": 0.5}
    assert targets(lines) == pytest.approx(expected)


def test_a_run_without_events_gives_no_target() -> None:
    with pytest.raises(UserError, match="No token of q1"):
        targets([{"quadrant/q1": 0.5, "clip/q1": 0.0}])
