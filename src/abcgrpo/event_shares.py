"""The quadrants' shares of clip events over steps. Plain numbers: trainers log them and reports derive them."""

from collections.abc import Iterable

QUADRANTS = ("q1", "q2", "q3", "q4")
"""Quadrants of (Â, r), as metrics name them; `abcgrpo.quadrants` has their bounds."""


def clip_shares(counts: Iterable[Iterable[float]]) -> tuple[float, ...] | None:
    """Each quadrant's share of the clip events, averaged over the steps that have any.

    Steps without an event (the first mini-batch after a rollout, where r = 1) are left out rather than counted as
    zero. None if no step has an event.

    Args:
        counts: (steps, 4), events per optimizer step and quadrant; fractions of all tokens serve as well, and so do a
            step's shares themselves.
    """
    steps = [[float(count) for count in step] for step in counts]
    shares = [[count / total for count in step] for step in steps if (total := sum(step)) > 0]
    return tuple(sum(column) / len(shares) for column in zip(*shares, strict=True)) if shares else None
