"""Arms at equal Avg@k: where a run crosses the level, and the interval of Pass@k there."""

import numpy as np
import pytest

from abcgrpo.comparison.compare import Scores
from abcgrpo.comparison.frontier import at_equal_average, common_level, crossing
from measurements import frontier_coverage as simulation

QUESTIONS = [f"q{number}" for number in range(40)]


def course(averages, passes, wobble=0.0, seed=0):
    """A run with these means by step 0, 10, 20, …; questions differ by a fixed pattern."""
    pattern = np.random.default_rng(seed).normal(0, wobble, 40) if wobble else np.zeros(40)
    pattern = pattern - pattern.mean()
    return {
        10 * at: Scores(QUESTIONS, {"avg": a + pattern, "pass": p + 0.5 * pattern})
        for at, (a, p) in enumerate(zip(averages, passes, strict=True))
    }


def test_a_crossing_is_interpolated_between_checkpoints():
    """0.3 lies two thirds of the way from 0.1 to 0.4, the first time it is reached; what falls later does not count."""
    found = crossing(course([0.1, 0.4, 0.2, 0.5], [0.5, 0.8, 0.9, 0.6]), 0.3, "avg", "pass")
    assert found.step == pytest.approx(20 / 3)
    assert found.passes == pytest.approx(0.5 + 0.3 * 2 / 3)
    assert found.linearized.mean() == pytest.approx(found.passes)


def test_a_level_that_is_not_reached_and_one_that_is_there_from_the_start():
    assert crossing(course([0.1, 0.2], [0.5, 0.6]), 0.3, "avg", "pass") is None
    assert crossing(course([0.35, 0.4], [0.5, 0.6]), 0.3, "avg", "pass").step == 0


def test_questions_that_only_shift_the_curve_along_itself_do_not_count():
    """Pass@k moves half as much as Avg@k, along training and from question to question: the frontier is the same."""
    found = crossing(course([0.1, 0.3, 0.5], [0.5, 0.6, 0.7], wobble=0.05), 0.2, "avg", "pass")
    assert found.linearized == pytest.approx(np.full(40, found.passes))


def test_slower_learning_alone_is_no_difference():
    """At equal steps the slower arm has 10 points more Pass@k or less; at equal Avg@k none."""
    runs = {
        "fast": {s: course([0.1, 0.3, 0.5], [0.8, 0.7, 0.6], 0.05, s) for s in range(5)},
        "slow": {s: course([0.1, 0.2, 0.3], [0.8, 0.75, 0.7], 0.05, s) for s in range(5)},
    }
    found = at_equal_average("b", runs, ("slow", "fast"), 0.3, "avg", "pass")
    assert found.difference == pytest.approx(0)
    assert (found.seeds, found.not_reached) == (5, {})
    assert found.low < 0 < found.high


def test_a_difference_at_equal_average():
    runs = {
        "kept": {s: course([0.1, 0.3, 0.5], [0.8, 0.75, 0.7], 0.05, s) for s in range(5)},
        "lost": {s: course([0.1, 0.3, 0.5], [0.8, 0.65, 0.5], 0.05, s + 9) for s in range(5)},
    }
    found = at_equal_average("b", runs, ("lost", "kept"), 0.4, "avg", "pass")
    assert found.difference == pytest.approx(0.575 - 0.725)
    assert found.high < 0


def test_a_run_that_does_not_reach_the_level_is_said():
    runs = {
        "a": {0: course([0.1, 0.4], [0.5, 0.6]), 1: course([0.1, 0.2], [0.5, 0.6])},
        "b": {0: course([0.1, 0.4], [0.5, 0.6]), 1: course([0.1, 0.4], [0.5, 0.6])},
    }
    found = at_equal_average("b", runs, ("a", "b"), 0.3, "avg", "pass")
    assert (found.difference, found.low, found.high) == (None, None, None)
    assert found.not_reached == {"a": [1]}


def test_the_level_that_is_chosen():
    courses = [course([0.1, 0.43], [0.5, 0.6]), course([0.12, 0.38, 0.2], [0.5, 0.6, 0.7])]
    assert common_level(courses, "avg") == 0.35
    assert common_level([*courses, course([0.1, 0.11], [0.5, 0.5])], "avg") is None
    assert common_level([], "avg") is None


def test_where_seeds_vary_the_interval_at_a_chosen_level_holds_the_truth():
    """A small run, in the setting whose truth one run alone would miss by far."""
    arms = simulation.SETTINGS["seeds vary more"]
    found = simulation.coverage(arms, 5, 40, 100, chosen=True)
    assert found["reached"] == 1.0
    assert found["coverage"] > 0.9
