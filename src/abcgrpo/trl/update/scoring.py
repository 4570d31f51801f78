"""Rows of a batch through a model: laid out, run, and their log-probs put back in their places."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from trl.trainer.grpo_trainer import GRPOTrainer

from abcgrpo.trl.update import planning
from abcgrpo.trl.update.attention import packed_mask
from abcgrpo.trl.update.head import TILE_TOKENS, score_from_logits, score_fused
from abcgrpo.trl.update.layout import lay_out
from abcgrpo.trl.update.parts import Parts, base_model


@dataclass(frozen=True)
class Scores:
    """What one forward pass gives, for B rows of C completion tokens."""

    logprobs: Tensor
    """(B, C), 0 where nothing was scored."""
    entropies: Tensor
    """(B, C), likewise; may be NaN if they were not asked for."""
    positions: int
    """Positions computed, padding included."""


class Scorer:
    """Scores rows in the layout that a trainer's model can have.

    Both methods take rows as TRL pads them: `ids` and `mask` (B, P + C), and C as `length`; see `layout`.
    """

    def __init__(self, trainer: GRPOTrainer, parts: Parts):
        self._accelerator = trainer.accelerator
        self._temperature = trainer.temperature
        self._parts = parts

    def score(
        self, model: Any, ids: Tensor, mask: Tensor, length: int, rows: Tensor | None = None, entropy: bool = False
    ) -> Scores:
        """One forward pass of the rows that `rows` (B,) selects; all by default.

        Every rank calls the model exactly once: without a row to run, on two tokens that count for nothing.
        """
        if rows is not None and not rows.any():
            pair = ids[:1, :2]
            logprobs, _ = self._forward(model, {"input_ids": pair}, pair, entropy=False)
            zeros = torch.zeros_like(ids[:, -length:], dtype=torch.float32)
            return Scores(zeros + logprobs.nan_to_num(neginf=0.0).sum() * 0.0, zeros, 0)
        laid_out = lay_out(ids, mask, length, self._parts.layout, rows)
        inputs = laid_out.model_inputs
        if self._parts.layout == "packed":
            inputs = inputs | packed_mask(base_model(self._accelerator, model), ids.device)
        logprobs, entropies = self._forward(model, inputs, laid_out.labels, entropy)
        if entropies is None:
            entropies = torch.full_like(logprobs, torch.nan)
        return Scores(laid_out.completion_values(logprobs), laid_out.completion_values(entropies), laid_out.positions)

    def score_in_chunks(
        self, model: Any, ids: Tensor, mask: Tensor, length: int, size: int, rows: Tensor | None = None
    ) -> Tensor:
        """Log-probs (B, C) in as many passes as TRL runs: one for every `size` rows, the same on all ranks."""
        lengths = mask.sum(1) if rows is None else mask.sum(1) * rows
        planner = planning.balanced if self._parts.layout == "packed" else planning.sorted_by_length
        logprobs = torch.zeros_like(ids[:, -length:], dtype=torch.float32)
        for chunk in planner(lengths.tolist(), len(ids) // size):
            run = torch.zeros_like(ids[:, 0], dtype=torch.bool)
            run[chunk] = True
            logprobs += self.score(model, ids, mask, length, run & (lengths > 0)).logprobs
        return logprobs

    def _forward(
        self, model: Any, inputs: dict[str, Any], labels: Tensor, entropy: bool
    ) -> tuple[Tensor, Tensor | None]:
        if self._parts.keep_logits and labels.numel() <= TILE_TOKENS:
            return score_from_logits(model, inputs, labels, temperature=self._temperature, entropy=entropy)
        with self._accelerator.autocast():
            return score_fused(model, inputs, labels)
