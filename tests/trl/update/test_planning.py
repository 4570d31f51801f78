"""Plans of rows: complete, equal in rows, and near the optimum."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abcgrpo.trl.update.planning import balanced, plan_step, sorted_by_length

LENGTHS = st.integers(0, 3372)


@st.composite
def problems(draw, most_batches=12, most_rows=6):
    batches, room = draw(st.integers(1, most_batches)), draw(st.integers(1, most_rows))
    return draw(st.lists(LENGTHS, min_size=batches * room, max_size=batches * room)), batches


def every_row_once(plan, rows):
    return sorted(row for batch in plan for row in batch) == list(range(rows))


def padded_size(plan, costs):
    return sum(sum(costs[row] > 0 for row in rows) * max(costs[row] for row in rows) for rows in plan if rows)


@given(problems())
@settings(max_examples=200)
def test_balanced_keeps_rows_and_stays_under_its_bound(problem):
    costs, batches = problem
    plan = balanced(costs, batches)
    assert every_row_once(plan, len(costs))
    assert {len(rows) for rows in plan} == {len(costs) // batches}
    loads = [sum(costs[row] for row in rows) for rows in plan]
    ordered = sorted(costs, reverse=True)
    widest = max(ordered[i] - ordered[i + batches - 1] for i in range(0, len(ordered), batches))
    assert max(loads) - min(loads) <= widest
    assert max(loads) <= sum(costs) / batches + widest
    assert max(loads) <= 2 * max(sum(costs) / batches, max(costs))  # no plan is below either


def equal_halves(costs):
    """The least cost of the dearer of two batches of equal numbers of rows, by trying them all."""
    total = sum(costs)
    picks = combinations(range(len(costs)), len(costs) // 2)
    return min(max(load := sum(costs[i] for i in pick), total - load) for pick in picks)


@given(st.lists(LENGTHS, min_size=8, max_size=8))
@settings(max_examples=100)
def test_balanced_is_at_most_twice_the_true_optimum(costs):
    plan = balanced(costs, 2)
    assert max(sum(costs[row] for row in rows) for rows in plan) <= 2 * equal_halves(costs)


@given(problems())
@settings(max_examples=200)
def test_sorted_by_length_keeps_rows_and_is_no_larger_than_equal_runs(problem):
    costs, batches = problem
    plan = sorted_by_length(costs, batches)
    assert every_row_once(plan, len(costs))
    assert {len(rows) for rows in plan} == {len(costs) // batches}
    room = len(costs) // batches
    order = sorted(range(len(costs)), key=lambda row: -costs[row])
    equal_runs = [order[i : i + room] for i in range(0, len(order), room)]
    assert padded_size(plan, costs) <= padded_size(equal_runs, costs)


def all_plans(rows, batches, room):
    """Every way of putting the rows into batches of `room` rows."""
    if not batches:
        yield []
        return
    for pick in combinations(rows, room):
        rest = [row for row in rows if row not in pick]
        yield from ([list(pick), *others] for others in all_plans(rest, batches - 1, room))


@given(st.lists(st.sampled_from([0, 0, 1, 3, 10, 11, 40]), min_size=6, max_size=6))
@settings(max_examples=60)
def test_sorted_by_length_is_the_optimum_of_all_plans(costs):
    least = min(padded_size(plan, costs) for plan in all_plans(range(6), 3, 2))
    assert padded_size(sorted_by_length(costs, 3), costs) == least


@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 4), st.booleans(), st.data())
@settings(max_examples=150)
def test_every_rank_gets_the_same_number_of_micro_batches_and_rows(ranks, per_rank, room, padded, data):
    rows = ranks * per_rank * room
    costs = data.draw(st.lists(LENGTHS, min_size=rows, max_size=rows))
    plans = plan_step(costs, ranks, per_rank, padded)
    assert every_row_once([rows for plan in plans for rows in plan], rows)
    assert [len(plan) for plan in plans] == [per_rank] * ranks
    assert {len(rows) for plan in plans for rows in plan} == {room}


def test_ranks_work_on_micro_batches_of_like_cost_at_the_same_time():
    costs = [100, 90, 80, 70, 4, 3, 2, 1]
    plans = plan_step(costs, ranks=2, batches_per_rank=2, padded=True)
    loads = [[sum(costs[row] for row in rows) for rows in plan] for plan in plans]
    assert loads == [[190, 7], [150, 3]]


@pytest.mark.parametrize("planner", [balanced, sorted_by_length])
def test_rows_that_do_not_divide_are_refused(planner):
    with pytest.raises(ValueError, match="5 rows cannot be cut into 2"):
        planner([1] * 5, 2)
