"""The rows of several micro-batches, and of several ranks, as one set: joined, gathered, dealt out again."""

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from abcgrpo.trl.batch import Batch, loss_mask


def join(batches: Sequence[Batch]) -> Batch:
    """The rows of all batches in order; scalars are left out. Lists follow their rows as tensors do.

    Raises:
        TypeError: an entry that could not follow its row.
    """
    joined: Batch = {}
    for key, value in batches[0].items():
        if isinstance(value, Tensor):
            if value.dim() > 0:
                joined[key] = torch.cat([batch[key] for batch in batches])
        elif isinstance(value, list) and all(len(batch[key]) == len(batch["advantages"]) for batch in batches):
            joined[key] = [item for batch in batches for item in batch[key]]
        elif value is not None:
            raise TypeError(
                f"batch entry {key!r} is a {type(value).__name__}, not a tensor or a list with an item for each row: "
                f'use update="stock"'
            )
    return joined


def gather(rows: Batch, accelerator: Accelerator) -> Batch:
    """The rows of all ranks, padded to a common width: prompts on their left, all else on the right."""
    gathered = {}
    for key in sorted(rows):  # one order on every rank: each of these is a collective
        values = rows[key]
        if isinstance(values, list):
            gathered[key] = gather_object(values)
            continue
        if values.dim() > 1:
            values = accelerator.pad_across_processes(values, dim=1, pad_first=key.startswith("prompt"))
        gathered[key] = accelerator.gather(values)
    return gathered


def deal(rows: Batch, plan: Sequence[Sequence[int]], batches: Sequence[Batch]) -> None:
    """Put the rows `plan[k]` into the k-th batch, in place of its own; its scalars stay."""
    for batch, index in zip(batches, plan, strict=True):
        chosen = torch.tensor(index, device=batch["advantages"].device)
        for key, values in rows.items():
            batch[key] = [values[row] for row in index] if isinstance(values, list) else values[chosen]


def with_signal(batch: Batch) -> Tensor:
    """Rows with an advantage ≠ 0 on a token that the loss counts; (B,), bool. The others have no gradient."""
    advantages = batch["advantages"]
    if advantages.dim() == 1:
        advantages = advantages.unsqueeze(1)
    return ((advantages != 0) & loss_mask(batch).bool()).any(1)


def token_counts(batch: Batch) -> Tensor:
    """Tokens of each row, prompt and completion; (B,)."""
    return batch["prompt_mask"].sum(1) + batch["completion_mask"].sum(1)
