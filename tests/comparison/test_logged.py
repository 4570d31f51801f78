"""Arms compared by a metric that was logged, against scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from abcgrpo.comparison.logged import at_end, compare_at_end

SEEDS = range(1, 10)


def ended(factors: dict[str, float], noise: float = 0.05) -> dict[str, dict[int, float]]:
    """Entropies that differ from the baseline's by a factor, seed by seed."""
    generator = np.random.default_rng(1)
    base = {seed: 0.2 * np.exp(0.5 * generator.standard_normal()) for seed in SEEDS}
    return {
        arm: {seed: base[seed] * factor * np.exp(noise * generator.standard_normal()) for seed in SEEDS}
        for arm, factor in factors.items()
    }


def test_the_end_is_the_last_tenth():
    assert at_end({step: float(step) for step in range(1, 41)}) == pytest.approx(np.mean([37, 38, 39, 40]))
    assert at_end({3: 7.0, 1: 5.0}) == 7.0  # never less than one step, whatever the order


def test_ratios_intervals_and_verdicts_are_those_of_scipy_on_logarithms():
    runs = ended({"open": 1.0, "up": 1.5, "down": 0.7, "same": 1.0})
    found = {each.arm: each for each in compare_at_end({None: runs}, list(runs))}
    for arm in ("up", "down", "same"):
        logs = np.array([np.log(runs[arm][seed] / runs["open"][seed]) for seed in SEEDS])
        interval = stats.ttest_1samp(logs, 0.0).confidence_interval(0.95)
        assert found[arm].ratio == pytest.approx(stats.gmean([runs[arm][s] / runs["open"][s] for s in SEEDS]))
        assert (found[arm].low, found[arm].high) == pytest.approx((np.exp(interval.low), np.exp(interval.high)))
    assert {arm: each.verdict for arm, each in found.items()} == {
        "up": "higher",
        "down": "lower",
        "same": "inconclusive",
    }
    assert found["up"].p_value == 2 / 2**9
    assert found["up"].p_value_holm == pytest.approx(3 * 2 / 2**9)


def test_the_family_covers_all_conditions():
    runs = ended({"open": 1.0, "up": 1.5})
    alone = compare_at_end({"one": runs}, ["open", "up"])
    many = compare_at_end({str(index): runs for index in range(20)}, ["open", "up"])
    assert [each.verdict for each in alone] == ["higher"]
    assert {each.verdict for each in many} == {"inconclusive"}  # 20 × 0.0039 is above 5%


def test_pairs_without_a_ratio_are_left_out():
    runs = {"open": {1: 0.2, 2: 0.0, 3: 0.1}, "up": {1: 0.4, 2: 0.3, 4: 0.2}, "absent": {}}
    (found,) = compare_at_end({None: runs}, ["open", "up", "absent"])
    assert (found.arm, found.ratio, found.seeds) == ("up", pytest.approx(2.0), 1)
    assert (found.low, found.p_value_holm, found.verdict) == (None, None, "inconclusive")
