import math

import numpy as np
import pytest

from abcgrpo.evaluation.intervals import of_differences, over_questions, over_questions_and_samples
from abcgrpo.evaluation.metrics import pass_at_k
from benchmarks.coverage import coverage


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
    assert of_differences(np.full(30, share))[1:] == (share, share)


def test_differences_have_students_interval():
    """Mean 0.5, sample standard deviation 0.5, three questions: half width t(0.975, 2)·0.5/√3 = 4.3027·0.28868."""
    value, low, high = of_differences(np.array([0.0, 0.5, 1.0]))
    assert value == 0.5
    assert low == pytest.approx(0.5 - 4.302653 * 0.5 / math.sqrt(3), abs=1e-6)
    assert high == 1.0


def test_one_question_has_no_interval():
    assert all(map(math.isnan, over_questions(np.array([0.3]))[1:]))
    assert all(map(math.isnan, of_differences(np.array([0.3]))[1:]))
    assert math.isnan(over_questions_and_samples(np.array([3]), 8, 2, np.random.default_rng(0)).interval.low)


def test_resampling_depends_on_the_generator_and_on_nothing_else():
    counts = np.array([0, 3, 8, 1, 5])
    first, again, other = (
        over_questions_and_samples(counts, 8, 4, np.random.default_rng(seed)).interval for seed in (1, 1, 2)
    )
    assert first == again != other


def test_at_k_equal_to_n_samples_are_not_resampled():
    with pytest.raises(ValueError, match="over questions only"):
        over_questions_and_samples(np.array([1, 2]), 8, 8, np.random.default_rng(0))


@pytest.mark.parametrize("k", [1, 8, 32])
def test_the_sampling_error_is_that_of_evaluations_done_again(k, monkeypatch):
    """The same 30 questions answered anew 4,000 times; estimated from one of them, averaged over 200."""
    monkeypatch.setattr("abcgrpo.evaluation.intervals.RESAMPLES", 2)  # the error needs none
    generator = np.random.default_rng(0)
    rates = generator.beta(1.0, 2.0, 30)
    counts = generator.binomial(64, rates, (4000, 30))
    true = pass_at_k(counts, 64, k).mean(axis=1).std()
    estimates = [over_questions_and_samples(row, 64, k, generator).standard_error for row in counts[:200]]
    assert np.mean(estimates) == pytest.approx(true, rel=0.15)


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
