"""What an optimizer step worked on, counted over its micro-batches and ranks: the `update/*` metrics."""

import torch
from accelerate import Accelerator
from torch import Tensor

from abcgrpo.trl.batch import Batch
from abcgrpo.trl.update.flops import ModelShape
from abcgrpo.trl.update.rows import token_counts


class StepCounts:
    """Sums over the micro-batches of one optimizer step; nothing is moved off the device before `metrics`."""

    def __init__(self, shape: ModelShape):
        self._shape = shape
        self._sums: Tensor | None = None

    def add(self, batch: Batch, active: Tensor, *, width: int, positions: int, old: float, old_elided: bool) -> None:
        """Count one micro-batch.

        Args:
            batch: its rows.
            active: (B,), True for the rows that were run.
            width: columns that TRL would have run each row with.
            positions: positions that the loss's forward pass computed.
            old: passes for old log-probs that TRL runs for each loss pass: 0, or 1 over the number of iterations.
            old_elided: this micro-batch's were not needed.
        """
        tokens = token_counts(batch)
        scored = batch["completion_mask"].sum(1)
        run = tokens * active
        stock = self._shape.flops(torch.full_like(tokens, width), scored, forwards=1 + old, backwards=1, causal=False)
        own = self._shape.flops(run, scored * active, forwards=1 if old_elided else 1 + old, backwards=1)
        values = [active.sum(), len(active), run.sum(), tokens.sum(), positions, stock.sum(), own.sum()]
        added = torch.stack([torch.as_tensor(value, dtype=torch.float64, device=tokens.device) for value in values])
        self._sums = added if self._sums is None else self._sums + added

    def metrics(self, accelerator: Accelerator) -> dict[str, float]:
        """The step's metrics over all ranks; starts anew.

        - `update/active_rows`, `update/active_tokens`: share of rows, of tokens (prompts too), that were run.
        - `update/padding`: share of padding in the positions computed.
        - `update/speedup_bound`: FLOPs of TRL's passes over all rows as padded, over FLOPs of the active rows' tokens.
        """
        assert self._sums is not None, "no micro-batch was counted"
        sums = accelerator.reduce(self._sums, reduction="sum")
        assert isinstance(sums, Tensor)
        self._sums = None
        active_rows, rows, active_tokens, tokens, positions, stock, own = sums.tolist()
        metrics = {
            "update/active_rows": active_rows / rows,
            "update/active_tokens": active_tokens / tokens,
            "update/padding": 1 - active_tokens / positions if positions else 0.0,
        }
        return metrics | ({"update/speedup_bound": stock / own} if own else {})  # no bound without an active row
