import numpy as np
import pytest

from abcgrpo.comparison.interval import Spread
from abcgrpo.comparison.power import detectable_effect, detectable_effect_in_deviations, fewest_seeds, p_values
from abcgrpo.comparison.significance import sign_flip_p_value, smallest_p_value


@pytest.mark.parametrize("seeds", [3, 8])
def test_p_values_of_many_are_those_of_one(seeds):
    many = np.random.default_rng(0).normal(0.3, 1.0, (20, seeds))
    many[0] = 0.0
    assert p_values(many) == pytest.approx([sign_flip_p_value(each) for each in many])


def test_with_many_seeds_students_t_stands_in():
    many = np.random.default_rng(0).normal(0.3, 1.0, (3, 15))
    assert p_values(many) == pytest.approx([sign_flip_p_value(each) for each in many], abs=0.01)


@pytest.mark.parametrize("comparisons", [1, 2, 4, 6, 8, 100])
def test_the_fewest_seeds_are_just_enough(comparisons):
    seeds = fewest_seeds(comparisons)
    assert smallest_p_value(seeds) * comparisons <= 0.05 < smallest_p_value(seeds - 1) * comparisons


def test_five_seeds_detect_nothing():
    assert detectable_effect_in_deviations(5, 1) is None
    assert detectable_effect_in_deviations(6, 1) is not None
    assert detectable_effect_in_deviations(7, 6) is None


def test_more_seeds_detect_less_and_more_comparisons_need_more():
    effects = [detectable_effect_in_deviations(seeds, 2) for seeds in (7, 8, 10, 14)]
    assert effects == sorted(effects, reverse=True)
    assert detectable_effect_in_deviations(10, 2) < detectable_effect_in_deviations(10, 6)


def test_identical_runs_say_nothing_about_what_could_be_detected():
    assert detectable_effect(Spread(8, 30, 0.0, 0.0, 0.0), 2) is None


@pytest.mark.parametrize("of_questions", [0.0, 0.05])
def test_the_detectable_effect_is_detected_in_four_of_five_experiments(of_questions):
    """Whole experiments, drawn question by question; a tenth of the effect is hardly ever seen."""
    seeds, questions, comparisons = 8, 20, 2
    expected = Spread(
        seeds,
        questions,
        of_seeds=questions * 0.02**2 + 0.1**2,
        of_questions=seeds * of_questions**2 + 0.1**2,
        residual=0.1**2,
    )
    effect = detectable_effect(expected, comparisons)
    generator = np.random.default_rng(5)
    drawn = (
        0.02 * generator.standard_normal((3000, seeds, 1))
        + of_questions * generator.standard_normal((3000, 1, questions))
        + 0.1 * generator.standard_normal((3000, seeds, questions))
    )

    def seen(true):
        many = drawn + true
        means = many.mean(axis=(1, 2))
        largest = np.maximum(p_values(many.mean(axis=2)), Spread.of(many).p_value(means))
        return np.mean((means > 0) & (largest <= 0.05 / comparisons))

    assert seen(effect) == pytest.approx(0.8, abs=0.04)
    assert seen(effect / 10) < 0.1
