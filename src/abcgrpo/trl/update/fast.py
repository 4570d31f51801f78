"""The update phase of TRL's `GRPOTrainer` with less work and the same gradient.

    class FastTrainer(FastUpdate, GRPOTrainer): ...

Everything that defines the objective stays with the host: rewards, advantages, losses, clipping, normalisers. All rows
stay in the batch, so that every normaliser is right; what changes is which rows go through the model, how they are
laid out, in which micro-batch, and when old log-probs are computed. `Parts` says which of it a run has.
"""

import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers.trainer_utils import IntervalStrategy
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from abcgrpo.trl.update import planning, rows
from abcgrpo.trl.update.attention import use_varlen_attention
from abcgrpo.trl.update.counts import StepCounts
from abcgrpo.trl.update.flops import ModelShape
from abcgrpo.trl.update.parts import MULTIMODAL, Parts, base_model, choose_parts
from abcgrpo.trl.update.scoring import Scorer, Scores

logger = logging.getLogger(__name__)


@dataclass
class _UpdatePass:
    """The micro-batch whose loss is being computed."""

    batch: rows.Batch
    active: Tensor | None
    """(B,), rows to be run; None: all."""
    keep_old: bool
    """A later iteration needs its log-probs as old ones."""
    positions: int = 0


class FastUpdate(GRPOTrainer):
    """Mixin, to stand before `GRPOTrainer` or a subclass of it.

    The host may have any loss that takes its log-probs from `self._get_per_token_logps_and_entropies` and that is, per
    row, a multiple of that row's advantages. Two hooks are for losses that are not: `rows_with_signal` and
    `loss_depends_on_cut`. For skipped rows, the log-probs equal the old ones (so ratios are 1 there), and entropies are
    those of a pass without gradient in the steps that are logged and NaN in all others: see `entropy_is_measured`.
    """

    args: GRPOConfig
    model: Any

    update = "fast"
    """"stock" switches all of it off. A field of this name in the trainer's configuration comes first."""
    update_entropy = True
    """Run skipped rows forward in the steps that are logged, so that `entropy` covers all tokens. Without it, it is not
    reported where rows are skipped. A field of this name in the trainer's configuration comes first."""

    def __init__(self, *args, **kwargs):
        self._update_deferring = False  # TRL is generating: its pass for old log-probs can wait
        self._update_old_deferred = False  # the rollout being prepared has none yet
        self._update_old_elided = range(0)  # micro-batches of the rollout that need none
        self._update_told_multimodal = False
        self._update_stock_width = 0  # columns of the rollout as TRL padded it
        self._update_pass: _UpdatePass | None = None
        super().__init__(*args, **kwargs)
        self.update = getattr(self.args, "update", self.update)
        self.update_entropy = getattr(self.args, "update_entropy", self.update_entropy)
        if self.update not in ("fast", "stock"):
            raise ValueError(f'update must be "fast" or "stock", got {self.update!r}')
        self.update_parts = self._choose_parts()
        self._scorer = Scorer(self, self.update_parts)
        self._update_counts = StepCounts(ModelShape.of(base_model(self.accelerator, self.model)))

    # -- hooks ---------------------------------------------------------------------------------------------------------

    @property
    def loss_depends_on_cut(self) -> bool:
        """Whether the loss of an optimizer step changes with the way its rows are cut into micro-batches of equal size.

        TRL's `bnpo` divides by the tokens of the micro-batch. A subclass with such a loss of its own overrides this.
        """
        return self.loss_type == "bnpo"

    def rows_with_signal(self, batch: rows.Batch) -> Tensor:
        """Rows that may have a gradient; (B,), bool. All others are skipped.

        A subclass whose loss pulls at rows of advantage 0 overrides this.
        """
        return rows.with_signal(batch)

    @property
    def entropy_is_measured(self) -> bool:
        """Whether the entropies of this optimizer step cover all rows; if not, they are NaN everywhere."""
        if not self.update_parts.skip:
            return True
        step = self.state.global_step + 1
        if self.args.logging_strategy == IntervalStrategy.STEPS:
            due = step % self.state.logging_steps == 0 or (step == 1 and self.args.logging_first_step)
        else:  # which step ends an epoch is not known beforehand
            due = self.args.logging_strategy == IntervalStrategy.EPOCH
        return self.update_entropy and due

    # -- rollout: score, plan, then old log-probs ----------------------------------------------------------------------

    def _generate_and_score_completions(self, inputs):
        self._update_deferring = self.update_parts.defer and self.model.training
        self._update_old_deferred = False
        try:
            output = super()._generate_and_score_completions(inputs)
        finally:
            self._update_deferring = False
        if self._update_old_deferred:
            del output["old_per_token_logps"]  # the placeholder
        return output

    def _prepare_inputs(self, generation_batch):
        buffered = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self.update == "stock" or not self.model.training or self._buffered_inputs is buffered:
            return inputs
        batches = self._buffered_inputs
        assert batches is not None
        self._plan_rollout(batches)
        return batches[self._place_in_rollout]

    def _plan_rollout(self, batches: list[rows.Batch]) -> None:
        """A new rollout: move its rows, and compute the old log-probs that were put off."""
        self._update_stock_width = batches[0]["prompt_ids"].size(1) + batches[0]["completion_ids"].size(1)
        self._update_old_elided = range(0)
        if MULTIMODAL & batches[0].keys():
            if not self._update_told_multimodal:
                logger.warning("Fast update: multimodal rollouts take TRL's own path.")
                self._update_told_multimodal = True
            return
        if self.update_parts.move:
            accumulation = self.args.gradient_accumulation_steps
            for start in range(0, len(batches), accumulation):
                self._move_rows(batches[start : start + accumulation])
        if self._update_old_deferred:
            if self.update_parts.whole_steps:
                start = self._place_in_rollout
                self._update_old_elided = range(start, start + self.args.gradient_accumulation_steps)
            self._fill_old_logps([batch for i, batch in enumerate(batches) if i not in self._update_old_elided])

    def _move_rows(self, step: list[rows.Batch]) -> None:
        """Deal the rows of one optimizer step, of all ranks, to its micro-batches anew."""
        joined = rows.join(step)
        ranks, rank = self.accelerator.num_processes, self.accelerator.process_index
        if ranks > 1:
            joined = rows.gather(joined, self.accelerator)
        costs = rows.token_counts(joined)
        if self.update_parts.skip:
            costs = costs * self.rows_with_signal(joined)
        padded = self.update_parts.layout != "packed"
        rows.deal(joined, planning.plan_step(costs.tolist(), ranks, len(step), padded)[rank], step)

    @torch.no_grad()
    def _fill_old_logps(self, batches: list[rows.Batch]) -> None:
        if not batches:
            return
        joined = rows.join(batches)
        ids = torch.cat([joined["prompt_ids"], joined["completion_ids"]], dim=1)
        mask = torch.cat([joined["prompt_mask"], joined["completion_mask"]], dim=1)
        length, size = joined["completion_ids"].size(1), len(batches[0]["advantages"])
        active = self.rows_with_signal(joined) if self.update_parts.skip else None
        with self._without_checkpointing():
            old = self._scorer.score_in_chunks(self.model, ids, mask, length, size, active)
        for batch, values in zip(batches, old.split(size), strict=True):
            batch["old_per_token_logps"] = values

    # -- loss ----------------------------------------------------------------------------------------------------------

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if self.update == "stock" or not self.model.training or MULTIMODAL & inputs.keys():
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        elided = self._place_in_rollout in self._update_old_elided
        active = self.rows_with_signal(inputs) if self.update_parts.skip else None
        self._update_pass = current = _UpdatePass(inputs, active, keep_old=elided and self.num_iterations > 1)
        try:
            loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        finally:
            self._update_pass = None
        self._count(current, elided)
        return loss

    def _count(self, current: _UpdatePass, elided: bool) -> None:
        batch, active = current.batch, current.active
        self._update_counts.add(
            batch,
            torch.ones_like(batch["prompt_mask"][:, 0], dtype=torch.bool) if active is None else active,
            width=self._update_stock_width,
            positions=current.positions,
            old=1 / self.num_iterations if elided or "old_per_token_logps" in batch else 0.0,
            old_elided=elided,
        )
        if self.accelerator.sync_gradients:
            for name, value in self._update_counts.metrics(self.accelerator).items():
                self._metrics["train"][name].append(value)

    # -- forward passes ------------------------------------------------------------------------------------------------

    def _get_per_token_logps_and_entropies(
        self,
        model,
        input_ids,
        attention_mask,
        logits_to_keep,
        batch_size=None,
        compute_entropy=False,
        compute_aux_loss=False,
        **multimodal,
    ):
        text = all(value is None for value in multimodal.values())
        if self._update_deferring and text and model is self.model:
            self._update_old_deferred = True
            # Nothing may use it; if something did, NaN would tell.
            return torch.full_like(input_ids[:, -logits_to_keep:], torch.nan, dtype=torch.float32), None, None
        arguments = (model, input_ids, attention_mask, logits_to_keep)
        parts, current = self.update_parts, self._update_pass
        ours = self.model.training and (parts.skip or parts.layout != "stock") and not compute_aux_loss and text
        if not ours or (current is None and compute_entropy):
            if current is not None:
                current.positions = input_ids.numel()
            return super()._get_per_token_logps_and_entropies(
                *arguments, batch_size, compute_entropy, compute_aux_loss, **multimodal
            )
        if current is None:  # old or reference log-probs
            return self._scorer.score_in_chunks(*arguments, batch_size or len(input_ids)), None, None
        if current.active is None:
            scores = self._scorer.score(*arguments, entropy=compute_entropy)
        else:
            scores = self._score_active(arguments, current, current.active, compute_entropy)
        current.positions = scores.positions
        if current.keep_old:
            current.batch.setdefault("old_per_token_logps", scores.logprobs.detach())
        return scores.logprobs, scores.entropies if compute_entropy else None, None

    def _score_active(
        self, arguments: tuple[Any, Tensor, Tensor, int], current: _UpdatePass, active: Tensor, entropy: bool
    ) -> Scores:
        """Scores of active rows, with gradient; see the class for those of skipped rows."""
        measured = entropy and self.entropy_is_measured
        skipped_entropies: Tensor | float = torch.nan
        if measured:
            with torch.no_grad(), self._without_checkpointing():
                skipped_entropies = self._scorer.score(*arguments, ~active, entropy=True).entropies
        scores = self._scorer.score(*arguments, active, entropy=measured)
        entropies = torch.where(active[:, None], scores.entropies, skipped_entropies)
        # Equal to the old ones: exp(0 − old) could overflow, and inf · 0 is not 0.
        same = current.batch.get("old_per_token_logps", torch.zeros_like(scores.logprobs))
        return replace(scores, logprobs=torch.where(active[:, None], scores.logprobs, same), entropies=entropies)

    # -- small things --------------------------------------------------------------------------------------------------

    def _choose_parts(self) -> Parts:
        if self.update == "stock":
            parts, level = Parts(reasons={"any": 'update: "stock"'}), logging.INFO
        else:
            parts = choose_parts(self, depends_on_cut=self.loss_depends_on_cut)
            level = logging.WARNING if parts.reasons.keys() - {"logits"} else logging.INFO  # TRL's head serves as well
        if parts.layout == "packed":
            for model in filter(None, (self.model, self.ref_model)):
                use_varlen_attention(base_model(self.accelerator, model))
        if self.accelerator.is_main_process:
            logger.log(level, parts.describe())
        return parts

    @property
    def _place_in_rollout(self) -> int:
        """Index of the current micro-batch."""
        per_rollout = self.args.steps_per_generation
        assert per_rollout is not None, "TRL's configuration sets it"
        return self._step % per_rollout

    @contextmanager
    def _without_checkpointing(self):
        options: Any = self.args.gradient_checkpointing_kwargs
        with disable_gradient_checkpointing(self.model, options):
            yield
