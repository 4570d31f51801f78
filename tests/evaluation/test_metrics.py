import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abcgrpo.evaluation.metrics import average, majority_vote, pass_at_first_k, pass_at_k


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_all_subsets_with_a_right_answer(samples, data):
    correct = data.draw(st.integers(0, samples))
    k = data.draw(st.integers(1, samples))
    subsets = list(itertools.combinations([True] * correct + [False] * (samples - correct), k))
    expected = sum(any(subset) for subset in subsets) / len(subsets)
    assert pass_at_k(np.array([correct]), samples, k)[0] == pytest.approx(expected)


@pytest.mark.parametrize(("rate", "k"), [(0.02, 32), (0.1, 8), (0.5, 2)])
def test_pass_at_k_is_unbiased_and_the_plug_in_is_not(rate, k):
    """200,000 questions of 64 samples: the mean is within four standard errors of 1 − (1 − rate)^k."""
    counts = np.random.default_rng(0).binomial(64, rate, 200_000)
    values = pass_at_k(counts, 64, k)
    truth, margin = 1 - (1 - rate) ** k, 4 * values.std() / len(values) ** 0.5
    assert values.mean() == pytest.approx(truth, abs=margin)
    assert (1 - (1 - counts / 64) ** k).mean() != pytest.approx(truth, abs=margin)


def test_first_k_has_the_same_mean_over_orders_as_the_unbiased_estimator():
    orders = np.array(list(itertools.permutations([True, True, False, False, False])))
    for k in range(1, 6):
        assert pass_at_first_k(orders, k).mean() == pytest.approx(pass_at_k(np.array([2]), 5, k)[0])
    assert pass_at_first_k(np.array([[False, True, False]]), 1)[0] == 0
    assert pass_at_first_k(np.array([[False, True, False]]), 2)[0] == 1


def test_pass_at_1_is_the_average():
    correct = np.array([0, 3, 64, 128])
    np.testing.assert_allclose(pass_at_k(correct, 128, 1), average(correct, 128))


@pytest.mark.parametrize("k", [0, 129])
def test_more_samples_than_there_are_is_refused(k):
    with pytest.raises(ValueError, match=f"Pass@{k}"):
        pass_at_k(np.array([1]), 128, k)
    with pytest.raises(ValueError, match=f"Pass@{k}"):
        pass_at_first_k(np.zeros((1, 128), dtype=bool), k)


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="0 … 4"):
        pass_at_k(np.array([5]), 4, 2)


@pytest.mark.parametrize(
    ("answers", "right", "expected"),
    [
        (["7", "7", "8"], [True, True, False], 1.0),
        (["7", "8", "8"], [True, False, False], 0.0),
        (["0.5", r"\frac12", "8", "9"], [True, True, False, False], 1.0),  # right answers are one answer
        (["8 1", "81", "7"], [False, False, True], 0.0),  # spaces tell no answers apart
        (["7", "8"], [True, False], 0.5),
        (["7", "8", "9"], [True, False, False], 1 / 3),
        (["8", "9"], [False, False], 0.0),
        ([None, None, "7"], [False, False, True], 1.0),
        ([None, None], [False, False], 0.0),
    ],
)
def test_majority_vote(answers, right, expected):
    assert majority_vote([answers], np.array([right]))[0] == pytest.approx(expected)
