"""The interval against analysis of variance worked out another way, and against its two limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from abcgrpo.comparison.interval import Spread, over_seeds_and_questions
from abcgrpo.evaluation.intervals import unseen_variance


def layout(generator, seeds, questions, of_seeds, of_questions, rest, size=()):
    """Differences with these standard deviations and no true mean."""
    return (
        of_seeds * generator.standard_normal((*size, seeds, 1))
        + of_questions * generator.standard_normal((*size, 1, questions))
        + rest * generator.standard_normal((*size, seeds, questions))
    )


def test_mean_squares_by_least_squares():
    """Sums of squares as differences of residuals of nested regressions on dummy variables."""
    differences = np.random.default_rng(0).normal(size=(4, 6))
    seed, question = (index.ravel() for index in np.indices((4, 6)))
    columns = {"seed": np.eye(4)[seed], "question": np.eye(6)[question], "mean": np.ones((24, 1))}

    def residual(*names):
        design, values = np.hstack([columns[name] for name in names]), differences.ravel()
        return float(np.sum((values - design @ np.linalg.lstsq(design, values)[0]) ** 2))

    spread = Spread.of(differences)
    full = residual("mean", "seed", "question")
    assert spread.of_seeds == pytest.approx((residual("mean", "question") - full) / 3)
    assert spread.of_questions == pytest.approx((residual("mean", "seed") - full) / 5)
    assert spread.residual == pytest.approx(full / 15)


def test_without_a_question_effect_it_is_students_interval_over_seeds():
    """Questions alike (by construction less spread than the rest): only the seeds' means count, with S − 1 degrees."""
    generator = np.random.default_rng(1)
    differences = layout(generator, 5, 40, 0.1, 0.0, 0.2)
    differences -= differences.mean(axis=0)
    differences += 0.05
    differences += 0.03 * generator.standard_normal((5, 1))
    found = over_seeds_and_questions(differences)
    expected = stats.t.interval(0.95, 4, loc=found.value, scale=stats.sem(differences.mean(axis=1)))
    assert (found.low, found.high) == pytest.approx(expected)


def test_where_seeds_agree_it_is_students_interval_over_questions():
    """Every seed gives the same differences: more seeds tell nothing new about other questions."""
    by_question = np.random.default_rng(2).normal(0.02, 0.1, 30)
    assert unseen_variance(by_question) == 0
    found = over_seeds_and_questions(np.tile(by_question, (6, 1)))
    expected = stats.t.interval(0.95, 29, loc=by_question.mean(), scale=stats.sem(by_question))
    assert (found.low, found.high) == pytest.approx(expected)


def test_the_same_runs_have_no_difference_and_the_width_of_a_question_that_is_not_there():
    """Nothing varies: t(0.975, 29) / 30, as one question of 30 that differs by 1 and is missing would add."""
    assert over_seeds_and_questions(np.zeros((8, 30))) == pytest.approx((0.0, -2.04523 / 30, 2.04523 / 30), abs=1e-5)


def test_clusters_are_the_units():
    differences = layout(np.random.default_rng(5), 4, 30, 0.02, 0.05, 0.1)
    clusters = [f"c{index // 5}" for index in range(30)]
    means = differences.reshape(4, 6, 5).mean(axis=2)
    found, expected = Spread.of(differences, clusters), Spread.of(means)
    assert (found.of_seeds, found.of_questions) == pytest.approx((expected.of_seeds, expected.of_questions))
    assert (found.residual, found.questions) == (pytest.approx(expected.residual), 6)
    assert found.unseen == 0  # of thirty questions, which carry the spread, and not of six clusters
    assert over_seeds_and_questions(differences, clusters).value == pytest.approx(differences.mean())


def test_one_question_has_no_interval():
    found = over_seeds_and_questions(np.array([[0.1], [0.3], [0.2]]))
    assert found.value == pytest.approx(0.2)
    assert np.isnan(found.low)
    assert np.isnan(found.high)


@given(arrays(float, st.tuples(st.integers(2, 6), st.integers(2, 8)), elements=st.floats(-1, 1, width=16)))
def test_exchanging_the_arms_mirrors_the_interval(differences):
    one, other = over_seeds_and_questions(differences), over_seeds_and_questions(-differences)
    assert one.low <= one.value + 1e-12
    assert one.value <= one.high + 1e-12
    assert np.allclose([one.value, one.low, one.high], [-other.value, -other.high, -other.low])


def test_many_experiments_at_once_as_one_by_one():
    many = layout(np.random.default_rng(3), 4, 10, 0.1, 0.1, 0.1, size=(7,))
    halves = Spread.of(many).half_width()
    assert halves == pytest.approx([float(Spread.of(each).half_width()) for each in many])


def test_p_and_interval_say_the_same():
    many = 0.08 + layout(np.random.default_rng(6), 6, 20, 0.08, 0.1, 0.2, size=(500,))
    means, spread = many.mean(axis=(1, 2)), Spread.of(many)
    excludes_0 = np.abs(means) > spread.half_width()
    assert 0 < excludes_0.mean() < 1
    assert np.array_equal(spread.p_value(means) < 0.05, excludes_0)
    assert np.array_equal(spread.p_value(means) < 0.01, np.abs(means) > spread.half_width(0.99))
    assert Spread.of(np.zeros((4, 5))).p_value(0.0) == 1.0


@pytest.mark.parametrize(("of_seeds", "of_questions"), [(0.15, 0.0), (0.0, 0.3), (0.1, 0.3)])
def test_it_covers_the_truth(of_seeds, of_questions):
    """95 of 100, where Student's interval over seeds or over questions alone does not."""
    many = layout(np.random.default_rng(4), 5, 30, of_seeds, of_questions, 0.3, size=(4000,))
    means = many.mean(axis=(1, 2))
    assert np.mean(np.abs(means) <= Spread.of(many).half_width()) == pytest.approx(0.955, abs=0.02)
    if not of_seeds:
        over_seeds = stats.t.ppf(0.975, 4) * stats.sem(many.mean(axis=2), axis=1)
        assert np.mean(np.abs(means) <= over_seeds) < 0.9
    if not of_questions:
        over_questions = stats.t.ppf(0.975, 29) * stats.sem(many.mean(axis=1), axis=1)
        assert np.mean(np.abs(means) <= over_questions) < 0.9
