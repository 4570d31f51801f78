"""The rows of several micro-batches, and of several ranks, as one set: joined, gathered, dealt out again."""

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import Tensor

from abcgrpo.trl.batch import Batch, loss_mask


def join(batches: Sequence[Batch]) -> Batch:
    """The rows of all batches in order; scalars are left out.

    Raises:
        TypeError: an entry that is no tensor, and could not follow its row.
    """
    for key, value in batches[0].items():
        if not isinstance(value, Tensor | None):
            raise TypeError(f'batch entry {key!r} is a {type(value).__name__}, not a tensor; use update="stock"')
    rows = [key for key, value in batches[0].items() if value is not None and value.dim() > 0]
    return {key: torch.cat([batch[key] for batch in batches]) for key in rows}


def gather(rows: Batch, accelerator: Accelerator) -> Batch:
    """The rows of all ranks, padded to a common width: prompts on their left, all else on the right."""
    gathered = {}
    for key in sorted(rows):  # one order on every rank: each of these is a collective
        values = rows[key]
        if values.dim() > 1:
            values = accelerator.pad_across_processes(values, dim=1, pad_first=key.startswith("prompt"))
        gathered[key] = accelerator.gather(values)
    return gathered


def deal(rows: Batch, plan: Sequence[Sequence[int]], batches: Sequence[Batch]) -> None:
    """Put the rows `plan[k]` into the k-th batch, in place of its own; its scalars stay."""
    for batch, index in zip(batches, plan, strict=True):
        chosen = torch.tensor(index, device=batch["advantages"].device)
        batch.update({key: values[chosen] for key, values in rows.items()})


def with_signal(batch: Batch) -> Tensor:
    """Rows with an advantage ≠ 0 on a token that the loss counts; (B,), bool. The others have no gradient."""
    advantages = batch["advantages"]
    if advantages.dim() == 1:
        advantages = advantages.unsqueeze(1)
    return ((advantages != 0) & loss_mask(batch).bool()).any(1)


def token_counts(batch: Batch) -> Tensor:
    """Tokens of each row, prompt and completion; (B,)."""
    return batch["prompt_mask"].sum(1) + batch["completion_mask"].sum(1)
