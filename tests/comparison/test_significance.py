import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from abcgrpo.comparison.significance import holm, probability_of_improvement, sign_flip_p_value, smallest_p_value


@pytest.mark.parametrize(("seeds", "smallest"), [(3, 0.25), (5, 0.0625), (8, 0.0078125)])
def test_seeds_that_all_agree_give_the_smallest_p(seeds, smallest):
    assert smallest_p_value(seeds) == smallest
    assert sign_flip_p_value(np.linspace(0.01, 0.03, seeds)) == smallest
    assert sign_flip_p_value(-np.linspace(0.01, 0.03, seeds)) == smallest


def test_a_p_value_counted_by_hand():
    # Sums of ±1 ±2 ±4 are 7, 5, 3, 1 and their negatives; the observed −1 + 2 + 4 = 5: four of eight are as far out.
    assert sign_flip_p_value(np.array([-1.0, 2.0, 4.0])) == 0.5


def test_no_difference_is_no_evidence():
    assert sign_flip_p_value(np.zeros(8)) == 1.0


def test_beyond_enumeration_signs_are_drawn_and_repeat():
    differences = np.random.default_rng(0).normal(0.5, 1.0, 20)
    found = sign_flip_p_value(differences)
    assert found == sign_flip_p_value(differences)
    assert found == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.01)


def test_holms_example():
    # 0.01·4, 0.03·3 = 0.09 which 0.04·2 = 0.08 may not undercut, 0.04·2 → 0.09, 0.2
    assert holm([0.04, 0.01, 0.2, 0.03]) == pytest.approx([0.09, 0.04, 0.2, 0.09])
    assert holm([]) == []


def test_a_comparison_that_could_not_be_made_keeps_its_place():
    assert holm([0.01, None, 0.02]) == [pytest.approx(0.03), None, pytest.approx(0.04)]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values):
    adjusted = holm(p_values)
    rejected = set()
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[index] * (len(p_values) - rank) > 0.05:
            break
        rejected.add(int(index))
    assert rejected == {index for index, p in enumerate(adjusted) if p is not None and p <= 0.05}


def test_probability_of_improvement_counts_pairs_and_halves_ties():
    # 2 > 1; 2 = 2; 3 > 1, 3 > 2 → (1 + ½ + 1 + 1) / 4
    assert probability_of_improvement(np.array([2.0, 3.0]), np.array([1.0, 2.0])) == 0.875
    generator = np.random.default_rng(1)
    arm, baseline = generator.normal(size=6), generator.normal(size=9)
    statistic = stats.mannwhitneyu(arm, baseline).statistic
    assert probability_of_improvement(arm, baseline) == pytest.approx(statistic / 54)
