"""Clip events by quadrant from the names of three kinds of logs, against figures worked out by hand."""

import pytest

from abcgrpo import clip_shares
from abcgrpo.report.reading.quadrants import clip_shares_of, with_quadrants

AUTHORS = {
    "clip_ratio/ppo_style": {1: 0.0, 2: 0.03, 3: 0.01},
    "clip_ratio/ppo_style_pos_adv_pct": {1: 0.0, 2: 1 / 3, 3: 1.0},
    "clip_ratio/ppo_style_neg_adv_pct": {1: 0.0, 2: 2 / 3, 3: 0.0},
    "clip_ratio/overcorrection": {1: 0.0, 2: 0.05, 3: 0.03},
    "clip_ratio/overcorrection_pos_adv_pct": {1: 0.0, 2: 0.2, 3: 0.0},
    "clip_ratio/overcorrection_neg_adv_pct": {1: 0.0, 2: 0.8, 3: 1.0},
}


def test_the_authors_names():
    metrics = with_quadrants(AUTHORS)
    events = [[metrics[f"clip/q{quadrant}"][step] for quadrant in (1, 2, 3, 4)] for step in (1, 2, 3)]
    assert events[1] == pytest.approx([0.01, 0.01, 0.02, 0.04])
    shares, steps = clip_shares_of(metrics)
    assert steps == 2  # step 1 has no event: left out, not counted as 0
    assert shares == pytest.approx({"q1": (1 / 8 + 1 / 4) / 2, "q2": 1 / 16, "q3": 1 / 8, "q4": (1 / 2 + 3 / 4) / 2})
    assert list(shares.values()) == pytest.approx(clip_shares(events))


def test_grpo_of_the_host_knows_two_quadrants():
    metrics = with_quadrants({"clip_ratio/high_mean": {1: 0.1}, "clip_ratio/low_mean": {1: 0.2}})
    assert metrics["clip/q1"] == {1: 0.1}
    assert metrics["clip/q3"] == {1: 0.2}
    assert "clip/q2" not in metrics
    assert clip_shares_of(metrics) == (dict.fromkeys(("q1", "q2", "q3", "q4")), 0)


def test_shares_that_the_trainer_logged_itself():
    metrics = {
        f"clip_share/q{quadrant}": {4: share}
        for quadrant, share in zip((1, 2, 3, 4), (0.1, 0.2, 0.3, 0.4), strict=True)
    }
    assert clip_shares_of(metrics) == ({"q1": 0.1, "q2": 0.2, "q3": 0.3, "q4": 0.4}, 1)
