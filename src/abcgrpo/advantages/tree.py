"""The prefix tree of a group's responses: which of them share which prefix, and what they were worth on average.

A state is a prompt and the first tokens of a response. State s_t of a response is its first t tokens; s_0, the root, is
the prompt alone. Responses that begin with the same tokens are in the same state until they part.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class PrefixTree(NamedTuple):
    """What is known of the states of N responses of T tokens.

    Positions that a response does not reach (t above its length) hold the value of its last state.
    """

    values: Tensor
    """(N, T + 1), float64: V(s_t), the mean reward of the group's responses that share the state."""
    leaves: Tensor
    """(N, T + 1), int64: how many responses of the group share the state, those without a reward included."""
    lengths: Tensor
    """(N,), int64: tokens of the response."""


def prefix_tree(rewards: Tensor, group_size: int, completion_ids: Tensor, lengths: Tensor) -> PrefixTree:
    """The values and sizes of all states, in time linear in N·T.

    Rows are sorted by their tokens, so that a state is a run of neighbours: those whose longest common prefix is long
    enough. Its sums are then sums over runs, for all rows and positions at once.

    Args:
        rewards: (N,). NaN marks a response without a reward: it takes no part in means. A state that only such
            responses share has the value of the root.
        group_size: G, the number of responses to one prompt, which lie side by side.
        completion_ids: (N, T), all tokens of a response, a tool's output included; padding on the right.
        lengths: (N,), how many of them there are.
    """
    number, width = completion_ids.shape
    order = _sorted_rows(completion_ids, lengths, group_size).to(completion_ids.device)
    ids, reached = completion_ids[order], lengths[order]
    same = (ids[1:] == ids[:-1]) & _within(torch.minimum(reached[1:], reached[:-1]), width)
    same &= (order[1:] // group_size == order[:-1] // group_size)[:, None]
    # (N, T + 1): whether a row is the first of its run. At the root a run is a group.
    starts = torch.ones(number, width + 1, dtype=torch.bool, device=ids.device)
    starts[1:, 0] = order[1:] // group_size != order[:-1] // group_size
    starts[1:, 1:] = same.cumprod(1) == 0
    run = starts.cumsum(0) - 1

    worth = rewards.double()[order]
    scored = ~worth.isnan()
    here = torch.cat([torch.ones_like(reached[:, None], dtype=torch.bool), _within(reached, width)], dim=1)

    def over_runs(values: Tensor) -> Tensor:
        spread = torch.where(here, values[:, None], 0.0)
        return torch.zeros_like(spread).scatter_add_(0, run, spread).gather(0, run)

    leaves = over_runs(torch.ones_like(worth))
    count = over_runs(scored.double())
    sums = over_runs(torch.where(scored, worth, 0.0))
    root = sums[:, :1] / count[:, :1].clamp(min=1)
    values = torch.where(count > 0, sums / count.clamp(min=1), root)
    last = reached[:, None].expand(-1, width + 1).minimum(torch.arange(width + 1, device=ids.device))
    back = order.argsort()
    return PrefixTree(values.gather(1, last)[back], leaves.gather(1, last).long()[back], lengths)


def response_lengths(mask: Tensor) -> Tensor:
    """Tokens of each response up to the last one that the policy wrote; (N,). What follows it decides nothing."""
    positions = torch.arange(1, mask.size(1) + 1, device=mask.device)
    return (mask.bool() * positions).amax(1) if mask.size(1) else mask.new_zeros(len(mask), dtype=torch.long)


def _within(lengths: Tensor, width: int) -> Tensor:
    """(N, T): positions below the length."""
    return torch.arange(width, device=lengths.device) < lengths[:, None]


def _sorted_rows(ids: Tensor, lengths: Tensor, group_size: int) -> Tensor:
    """Rows of each group in the order of their tokens, as bytes of equal width so that Python compares them fast."""
    rows = ids.to("cpu", torch.int64).numpy().astype(">u8")
    keys = [row[:length].tobytes() for row, length in zip(rows, lengths.tolist(), strict=True)]
    return torch.tensor(sorted(range(len(keys)), key=lambda row: (row // group_size, keys[row])), dtype=torch.long)
