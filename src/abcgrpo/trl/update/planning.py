"""Rows → micro-batches and ranks. Pure functions on lists of numbers; equal inputs give equal plans on every rank.

A row is one response with its prompt. Its cost is its number of tokens, or 0 where the update skips it. Rows of cost 0
are dealt out with the others, so that every micro-batch keeps its number of rows.
"""

from collections.abc import Sequence

import numpy as np

MicroBatches = list[list[int]]
"""The rows of each micro-batch, by index."""


def balanced(costs: Sequence[int], batches: int) -> MicroBatches:
    """Batches of equal numbers of rows and nearly equal cost, for rows that are packed without padding.

    The rows, longest first, are cut into blocks of one row per batch; within a block, the longest row goes to the
    batch that is cheapest so far. The costs of two batches then never differ by more than the widest block (its longest
    row less its shortest), so that the dearest batch costs at most the mean + the widest block, and at most twice the
    optimum. It costs at most the mean + the longest row for any number of rows.

    Raises:
        ValueError: a number of rows that `batches` does not divide.
    """
    _check_divides(len(costs), batches)
    plan: MicroBatches = [[] for _ in range(batches)]
    loads = [0] * batches
    order = _longest_first(costs)
    for start in range(0, len(order), batches):
        cheapest_first = sorted(range(batches), key=lambda batch: (loads[batch], batch))
        for batch, row in zip(cheapest_first, order[start : start + batches], strict=True):
            plan[batch].append(row)
            loads[batch] += costs[row]
    return plan


def sorted_by_length(costs: Sequence[int], batches: int) -> MicroBatches:
    """Batches of equal numbers of rows whose padded size is smallest, for rows padded to the longest of their batch.

    The size of a batch is its number of rows of cost > 0 times the largest cost. The rows, longest first, are cut into
    runs; of all cuts that leave no batch with more than its share of rows, the one of least total size is taken. Rows
    of cost 0 fill up the batches.

    Raises:
        ValueError: a number of rows that `batches` does not divide.
    """
    _check_divides(len(costs), batches)
    room = len(costs) // batches
    order = _longest_first(costs)
    active = [row for row in order if costs[row] > 0]
    idle = iter([row for row in order if costs[row] <= 0])
    plan: MicroBatches = []
    start = 0
    for size in _cheapest_cut([costs[row] for row in active], batches, room):
        rows = active[start : start + size]
        plan.append([*rows, *(next(idle) for _ in range(room - size))])
        start += size
    return plan


def plan_step(costs: Sequence[int], ranks: int, batches_per_rank: int, padded: bool = False) -> list[MicroBatches]:
    """The rows of one optimizer step → for each rank, its micro-batches.

    Micro-batches are sorted by cost before they are dealt to the ranks, so that the ranks, which wait for one another
    at each micro-batch, work on micro-batches of nearly equal cost at the same time.

    Args:
        costs: of all rows of the step, on all ranks.
        ranks: how many processes share the rows.
        batches_per_rank: micro-batches of one optimizer step.
        padded: rows will be padded to the longest of their micro-batch, not packed.

    Raises:
        ValueError: a number of rows that is no multiple of ranks × batches_per_rank.
    """
    planner = sorted_by_length if padded else balanced
    plan = planner(costs, ranks * batches_per_rank)
    plan.sort(key=lambda rows: -(_padded_size(rows, costs) if padded else sum(costs[row] for row in rows)))
    return [plan[rank::ranks] for rank in range(ranks)]


def _cheapest_cut(descending: Sequence[int], runs: int, room: int) -> list[int]:
    """Lengths of `runs` runs of at most `room` items, least Σ items × first item. Dynamic programming over the ends."""
    items = len(descending)
    first = np.array([*descending, 0], dtype=np.float64)
    best = np.full(items + 1, np.inf)
    best[0] = 0.0
    sizes = np.zeros((runs, items + 1), dtype=np.int64)
    for run in range(runs):
        longer = best.copy()  # an empty run
        for size in range(1, min(room, items) + 1):
            total = best[: items + 1 - size] + size * first[: items + 1 - size]
            better = total < longer[size:]
            longer[size:][better] = total[better]
            sizes[run, size:][better] = size
        best = longer
    cut, end = [], items
    for run in reversed(range(runs)):
        cut.append(int(sizes[run, end]))
        end -= cut[-1]
    return cut[::-1]


def _padded_size(rows: Sequence[int], costs: Sequence[int]) -> int:
    active = [costs[row] for row in rows if costs[row] > 0]
    return len(active) * max(active, default=0)


def _longest_first(costs: Sequence[int]) -> list[int]:
    return sorted(range(len(costs)), key=lambda row: (-costs[row], row))


def _check_divides(rows: int, batches: int) -> None:
    if batches < 1 or rows % batches:
        raise ValueError(f"{rows} rows cannot be cut into {batches} micro-batches of equal numbers of rows")
