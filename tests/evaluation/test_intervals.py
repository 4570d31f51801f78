import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from abcgrpo.evaluation.clusters import INDEPENDENT, in_words, per_cluster
from abcgrpo.evaluation.intervals import (
    of_differences,
    over_questions,
    over_questions_and_samples,
    sampling_error,
    unseen_variance,
)
from abcgrpo.evaluation.metrics import pass_at_k
from measurements.coverage import coverage, coverage_of_differences


def test_shares_of_0_and_1_have_wilsons_interval_with_students_quantile():
    """40 questions, 10 solved: s² = m(1−m)·40/39, which alone is N = 39; M = 40·40; t(0.975, 39) = 2.02269."""
    shares = np.array([1.0] * 10 + [0.0] * 30)
    t, effective = 2.0226909, 1 / math.hypot(1 / 39, 1 / 1600)
    centre = (0.25 + t**2 / 2 / effective) / (1 + t**2 / effective)
    half = t / (1 + t**2 / effective) * math.sqrt(0.1875 / effective + t**2 / 4 / effective**2)
    assert over_questions(shares) == pytest.approx((0.25, centre - half, centre + half), abs=1e-6)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_questions_that_all_agree_are_no_certainty(share):
    value, low, high = over_questions(np.full(30, share))
    assert value == share
    assert low <= share <= high
    assert high - low == pytest.approx(0.1224, abs=1e-3)  # t²/(30 + t²)
    assert of_differences(np.full(30, share)) == pytest.approx(
        (share, share - 2.04523 / 30, min(1, share + 2.04523 / 30)), abs=1e-5
    )


def test_where_many_questions_carry_the_spread_differences_have_students_interval():
    differences = np.random.default_rng(0).normal(0.1, 0.2, 60).clip(-1, 1)
    assert unseen_variance(differences) == 0
    expected = stats.t.interval(0.95, 59, loc=differences.mean(), scale=stats.sem(differences))
    assert of_differences(differences)[1:] == pytest.approx(expected)


def test_where_one_question_carries_it_another_may_be_missing():
    """30 questions, one differs by 1: e = 29/30 once and −1/30 29 times, P = (Σe²)²/Σe⁴ = 1.07027; w = 1 − P/4."""
    differences = np.array([1.0] + [0.0] * 29)
    squares = (29 / 30) ** 2 + 29 / 900
    carried_by = squares**2 / ((29 / 30) ** 4 + 29 / 30**4)
    assert unseen_variance(differences) == pytest.approx((1 - carried_by / 4) / 900)
    value, low, high = of_differences(differences)
    half = 2.0452296 * math.sqrt(squares / 29 / 30 + (1 - carried_by / 4) / 900)
    assert (value, low, high) == pytest.approx((1 / 30, 1 / 30 - half, 1 / 30 + half), abs=1e-6)


@given(arrays(float, st.integers(2, 40), elements=st.floats(-1, 1, width=16)))
def test_intervals_of_differences_hold_the_mean_and_students_interval_and_mirror(differences):
    value, low, high = of_differences(differences)
    half = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / math.sqrt(len(differences))
    assert -1 <= low <= max(value - half, -1) + 1e-9
    assert min(value + half, 1) - 1e-9 <= high <= 1
    assert np.allclose(of_differences(-differences), (-value, -high, -low))


def test_clusters_of_equal_size_count_by_their_means():
    values = np.random.default_rng(1).normal(size=(3, 12)) / 10
    clusters = [f"c{index % 6}" for index in range(12)]
    means = values.reshape(3, 2, 6).mean(axis=1)
    assert per_cluster(values, clusters) == pytest.approx(means)
    half = stats.t.ppf(0.975, 5) * math.sqrt(means[0].var(ddof=1) / 6 + unseen_variance(values[0]))
    expected = (values[0].mean(), values[0].mean() - half, values[0].mean() + half)
    assert of_differences(values[0], clusters) == pytest.approx(expected)


@given(st.lists(st.integers(0, 5), min_size=8, max_size=30).filter(lambda c: len(set(c)) >= 5), st.integers(0, 99))
def test_clusters_of_any_size_keep_the_means_and_have_the_variance_of_a_ratio(clusters, seed):
    """Var = C/(C−1) · Σ_c (Σ_{q in c} (x_q − m))² / Q²: the sandwich with CR1's factor, worked out by hand."""
    values = np.random.default_rng(seed).random(len(clusters))
    units = per_cluster(values, list(map(str, clusters)))
    assert units.mean() == pytest.approx(values.mean())
    totals = [sum(values[q] - values.mean() for q, each in enumerate(clusters) if each == c) for c in set(clusters)]
    size = len(totals)
    expected = size / (size - 1) * np.sum(np.square(totals)) / len(clusters) ** 2
    assert units.var(ddof=1) / size == pytest.approx(expected)


def test_few_clusters_are_not_used_and_it_is_said():
    values = np.random.default_rng(2).random(30)
    contests = ["I"] * 15 + ["II"] * 15
    assert over_questions(values, contests) == over_questions(values)
    assert "in 2 clusters, too few" in in_words(30, contests)
    assert in_words(30, None) == INDEPENDENT
    assert "intervals and verdicts count clusters" in in_words(30, [str(index // 6) for index in range(30)])
    assert over_questions(values, [str(index) for index in range(30)]) == pytest.approx(over_questions(values))


def test_one_question_has_no_interval():
    assert all(map(math.isnan, over_questions(np.array([0.3]))[1:]))
    assert all(map(math.isnan, of_differences(np.array([0.3]))[1:]))
    assert math.isnan(over_questions_and_samples(np.array([3]), 8, 2, np.random.default_rng(0)).low)


def test_resampling_depends_on_the_generator_and_on_nothing_else():
    counts = np.array([0, 3, 8, 1, 5])
    first, again, other = (over_questions_and_samples(counts, 8, 4, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_at_k_equal_to_n_samples_are_not_resampled():
    with pytest.raises(ValueError, match="over questions only"):
        over_questions_and_samples(np.array([1, 2]), 8, 8, np.random.default_rng(0))


@pytest.mark.parametrize(("samples", "k"), [(64, 1), (64, 8), (64, 32), (16, 8), (8, 4)])
def test_the_sampling_error_is_that_of_evaluations_done_again(samples, k):
    """The same 30 questions answered anew 6,000 times; variances, which are estimated without bias."""
    generator = np.random.default_rng(0)
    counts = generator.binomial(samples, generator.beta(1.0, 2.0, 30), (6000, 30))
    true = pass_at_k(counts, samples, k).mean(axis=1).var()
    estimates = [sampling_error(row, samples, k) ** 2 for row in counts]
    assert np.mean(estimates) == pytest.approx(true, rel=0.05)


def test_the_sampling_error_of_one_sample_is_the_familiar_one():
    counts, samples = np.array([0, 3, 8, 5]), 8
    rates = counts / samples
    assert sampling_error(counts, samples, 1) == pytest.approx(math.sqrt(np.mean(rates * (1 - rates) / 7) / 4))


def test_beyond_half_of_the_samples_there_is_no_sampling_error():
    assert sampling_error(np.array([1, 2]), 8, 4) is not None
    assert sampling_error(np.array([1, 2]), 8, 5) is None


@pytest.mark.slow
@pytest.mark.parametrize("questions", [30, 40])
@pytest.mark.parametrize("population", ["hard", "all or nothing", "60% never"])
def test_intervals_cover_the_truth(population, questions, monkeypatch):
    """2,000 benchmarks whose questions are drawn anew. At the margin of 2 points the standard error is half a point."""
    monkeypatch.setattr("abcgrpo.evaluation.intervals.RESAMPLES", 200)
    for k in (0, 32):
        found = coverage(population, questions, k, simulations=2000)
        assert found["over questions"] == pytest.approx(0.95, abs=0.02)
        if k:
            assert found["questions and samples"] == pytest.approx(0.95, abs=0.02)


def test_a_plain_bootstrap_does_not():
    assert coverage("60% never", 30, 0, simulations=400)["bootstrap"] < 0.93


@pytest.mark.parametrize(("population", "k"), [("easy", 16), ("60% never", 16), ("all or nothing", 16)])
def test_differences_of_figures_that_saturate_are_covered(population, k):
    """Where Student's interval, which has no width in many of them, is not."""
    found = coverage_of_differences(population, 30, 16, k, shift=0.5, spread=0.5, simulations=1000)
    assert found["differences"] >= 0.93
    assert found["Student"] < 0.93


def test_clusters_that_are_ignored_make_intervals_too_narrow():
    found = coverage_of_differences("even", 60, 64, 0, shift=0.0, spread=0.5, simulations=1000, cluster=(6, 1.0))
    assert found["clusters"] == pytest.approx(0.95, abs=0.025)
    assert found["differences"] < 0.85
