"""The update phase of TRL's `GRPOTrainer` with less work and the same gradient, as a component of a trainer.

Everything that defines the objective stays with the host: rewards, advantages, losses, clipping, normalisers. All rows
stay in the batch, so that every normaliser is right; what changes is which rows go through the model, how they are
laid out, in which micro-batch, and when old log-probs are computed. `Parts` says which of it a run has.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers.trainer_utils import IntervalStrategy
from trl.models.utils import disable_gradient_checkpointing

from abcgrpo.trl.batch import MULTIMODAL, Batch
from abcgrpo.trl.component import Component, LossPass, Metrics
from abcgrpo.trl.config import option
from abcgrpo.trl.update import planning, rows
from abcgrpo.trl.update.attention import use_varlen_attention
from abcgrpo.trl.update.counts import StepCounts
from abcgrpo.trl.update.flops import ModelShape
from abcgrpo.trl.update.parts import Parts, base_model, choose_parts
from abcgrpo.trl.update.scoring import Scorer, Scores

logger = logging.getLogger(__name__)


@dataclass
class _UpdatePass:
    """The micro-batch whose loss is being computed."""

    active: Tensor | None
    """(B,), rows to be run; None: all."""
    elided: bool
    """Its old log-probs are those of this very pass."""
    positions: int = 0


@dataclass(frozen=True)
class Forward:
    """What TRL asks of a forward pass."""

    model: Any
    ids: Tensor
    """(B, P + T)"""
    mask: Tensor
    length: int
    """T, the completion's columns."""
    batch_size: int | None
    entropy: bool
    plain: bool
    """Text, and no router loss."""


class FastUpdate(Component):
    """Leaves out zero-advantage rows and padding, and old log-probs that are not needed.

    The trainer may have any loss that takes its log-probs from `_get_per_token_logps_and_entropies` and that is, per
    row, a multiple of that row's advantages. Two hooks of the trainer are for losses that are not: `rows_with_signal`
    and `loss_depends_on_cut`. For skipped rows, the log-probs equal the old ones (so ratios are 1 there), and entropies
    are those of a pass without gradient in the steps that are logged and NaN in all others.
    """

    name = "update"

    def __init__(self, trainer: Any) -> None:
        super().__init__(trainer)
        self._on = option(trainer.args, "update") == "fast"
        self._measures_entropy = option(trainer.args, "update_entropy")
        self.choose_parts()
        self._counts = StepCounts(ModelShape.of(base_model(trainer.accelerator, trainer.model)))
        self._deferring = False  # TRL is generating: its pass for old log-probs can wait
        self._old_deferred = False  # the rollout being prepared has none yet
        self._old_elided = range(0)  # micro-batches of the rollout that need none
        self._stock_width = 0  # columns of the rollout as TRL padded it
        self._own_path = False  # the rollout is one that only TRL's own path takes
        self._told: set[str] = set()
        self._pass: _UpdatePass | None = None

    def choose_parts(self) -> None:
        """Decide which parts are exact for the trainer as it stands, and say so."""
        trainer = self.trainer
        if not self._on:
            parts, level = Parts(reasons={"any": 'update: "stock"'}), logging.INFO
        else:
            parts = choose_parts(trainer, depends_on_cut=trainer.loss_depends_on_cut)
            level = logging.WARNING if parts.reasons.keys() - {"logits"} else logging.INFO  # TRL's head serves as well
        if parts.layout == "packed":
            for model in filter(None, (trainer.model, trainer.ref_model)):
                use_varlen_attention(base_model(trainer.accelerator, model))
        if trainer.accelerator.is_main_process:
            logger.log(level, parts.describe())
        self.parts = parts
        self._scorer = Scorer(trainer, parts)

    def state_dict(self) -> dict[str, Any]:
        """What is known of the rollout that is being used up."""
        return {
            "old_elided": [self._old_elided.start, self._old_elided.stop],
            "stock_width": self._stock_width,
            "own_path": self._own_path,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._old_elided = range(*state["old_elided"])
        self._stock_width = state["stock_width"]
        self._own_path = state["own_path"]

    # -- rollout: score, plan, then old log-probs ----------------------------------------------------------------------

    @contextmanager
    def deferring_old_logprobs(self) -> Iterator[None]:
        """Inside, TRL makes a rollout; its pass for old log-probs is put off, where that is exact."""
        self._deferring = self.parts.defer and self.trainer.model.training
        self._old_deferred = False
        try:
            yield
        finally:
            self._deferring = False

    def rollout_scored(self, output: Batch) -> None:
        """TRL has made a rollout."""
        if self._old_deferred:
            del output["old_per_token_logps"]  # the placeholder

    def old_logprobs_given(self) -> None:
        """The rollout has its old log-probs from a pass that was made for something else."""
        self._old_deferred = False

    def rollout_buffered(self, batches: list[Batch]) -> None:
        """A new rollout, cut into micro-batches: move its rows, and compute the old log-probs that were put off."""
        if not self._on:
            return
        self._stock_width = batches[0]["prompt_ids"].size(1) + batches[0]["completion_ids"].size(1)
        self._old_elided = range(0)
        self._own_path = False
        if why := self._why_own_path(batches):
            self._own_path = True
            if why not in self._told:
                logger.warning("Fast update: rollouts with %s take TRL's own path.", why)
                self._told.add(why)
            if self._old_deferred:
                self._fill_old_logps_as_trl(batches)
            return
        accumulation = self.trainer.args.gradient_accumulation_steps
        if self.parts.move:
            for start in range(0, len(batches), accumulation):
                self._move_rows(batches[start : start + accumulation])
        if self._old_deferred:
            if self.parts.whole_steps and not self.trainer.reads_old_logprobs_first:
                start = self.trainer.place_in_rollout
                self._old_elided = range(start, start + accumulation)
            self._fill_old_logps([batch for i, batch in enumerate(batches) if i not in self._old_elided])

    def _why_own_path(self, batches: list[Batch]) -> str:
        """What this rollout holds, on any rank, that only TRL's own path takes; "" for nothing."""
        if MULTIMODAL & batches[0].keys():
            return "images"
        empty = torch.stack([(batch["prompt_mask"].sum(1) == 0).any() for batch in batches]).any()
        accelerator = self.trainer.accelerator
        anywhere: Any = accelerator.reduce(empty.float(), "sum") if accelerator.num_processes > 1 else empty
        return "an empty prompt, after which nothing predicts the first token," if anywhere.item() > 0 else ""

    @torch.no_grad()
    def _fill_old_logps_as_trl(self, batches: list[Batch]) -> None:
        for batch in batches:
            ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
            mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
            with self._without_checkpointing():
                logprobs, _, _ = self.trainer._get_per_token_logps_and_entropies(
                    self.trainer.model, ids, mask, batch["completion_ids"].size(1)
                )
            batch["old_per_token_logps"] = logprobs

    def _move_rows(self, step: list[Batch]) -> None:
        """Deal the rows of one optimizer step, of all ranks, to its micro-batches anew."""
        accelerator = self.trainer.accelerator
        joined = rows.join(step)
        ranks, rank = accelerator.num_processes, accelerator.process_index
        if ranks > 1:
            joined = rows.gather(joined, accelerator)
        costs = rows.token_counts(joined)
        if self.parts.skip:
            costs = costs * self.trainer.rows_with_signal(joined)
        padded = self.parts.layout != "packed"
        rows.deal(joined, planning.plan_step(costs.tolist(), ranks, len(step), padded)[rank], step)

    @torch.no_grad()
    def _fill_old_logps(self, batches: list[Batch]) -> None:
        if not batches:
            return
        joined = rows.join(batches)
        ids = torch.cat([joined["prompt_ids"], joined["completion_ids"]], dim=1)
        mask = torch.cat([joined["prompt_mask"], joined["completion_mask"]], dim=1)
        length, size = joined["completion_ids"].size(1), len(batches[0]["advantages"])
        active = self.trainer.rows_with_signal(joined) if self.parts.skip else None
        with self._without_checkpointing():
            old = self._scorer.score_in_chunks(self.trainer.model, ids, mask, length, size, active)
        for batch, values in zip(batches, old.split(size), strict=True):
            batch["old_per_token_logps"] = values

    # -- loss ----------------------------------------------------------------------------------------------------------

    def loss_begins(self, passed: LossPass, metrics: Metrics) -> None:
        self._pass = None
        if self._has_part_in(passed):
            active = self.trainer.rows_with_signal(passed.batch) if self.parts.skip else None
            self._pass = _UpdatePass(active, elided=self.trainer.place_in_rollout in self._old_elided)

    def loss_computed(self, passed: LossPass, metrics: Metrics) -> None:
        if (current := self._pass) is None:
            return
        batch, active, elided = passed.batch, current.active, current.elided
        self._counts.add(
            batch,
            torch.ones_like(batch["prompt_mask"][:, 0], dtype=torch.bool) if active is None else active,
            width=self._stock_width,
            positions=current.positions,
            old=1 / self.trainer.num_iterations if elided or "old_per_token_logps" in batch else 0.0,
            old_elided=elided,
        )
        self._pass = None

    def step_ends(self, passed: LossPass, metrics: Metrics) -> None:
        if self._has_part_in(passed):
            for name, value in self._counts.metrics(self.trainer.accelerator).items():
                metrics[name].append(value)

    def _has_part_in(self, passed: LossPass) -> bool:
        return self._on and passed.training and not self._own_path and not MULTIMODAL & passed.batch.keys()

    @property
    def _entropy_is_measured(self) -> bool:
        """Whether the entropies of this optimizer step cover all rows; if not, they are NaN everywhere."""
        args, state = self.trainer.args, self.trainer.state
        step = state.global_step + 1
        if args.logging_strategy == IntervalStrategy.STEPS:
            due = step % state.logging_steps == 0 or (step == 1 and args.logging_first_step)
        else:  # which step ends an epoch is not known beforehand
            due = args.logging_strategy == IntervalStrategy.EPOCH
        return self._measures_entropy and due

    # -- forward passes ------------------------------------------------------------------------------------------------

    def score(self, forward: Forward, passed: LossPass | None) -> tuple[Tensor, Tensor | None] | None:
        """Log-probs and, if asked for, entropies of a forward pass, both (B, T); None if TRL's own path is taken.

        Args:
            forward: what to run.
            passed: the micro-batch whose loss the pass is for; None for old and reference log-probs.
        """
        parts, current = self.parts, self._pass if passed is not None else None
        if self._deferring and forward.plain and forward.model is self.trainer.model:
            self._old_deferred = True
            # Nothing may use it; if something did, NaN would tell.
            return torch.full_like(forward.ids[:, -forward.length :], torch.nan, dtype=torch.float32), None
        ours = self.trainer.model.training and (parts.skip or parts.layout != "stock") and forward.plain
        ours = ours and not self._own_path
        if not ours or (current is None and forward.entropy):
            if current is not None:
                current.positions = forward.ids.numel()
            return None
        arguments = (forward.model, forward.ids, forward.mask, forward.length)
        if passed is None or current is None:
            return self._scorer.score_in_chunks(*arguments, forward.batch_size or len(forward.ids)), None
        if current.active is None:
            scores = self._scorer.score(*arguments, entropy=forward.entropy)
        else:
            passed.entropies_are_whole = self._entropy_is_measured
            measured = forward.entropy and passed.entropies_are_whole
            scores = self._score_active(arguments, passed.batch, current.active, measured)
        current.positions = scores.positions
        if current.elided:  # a later iteration needs them as old ones, and a subclass's loss may read them
            passed.batch.setdefault("old_per_token_logps", scores.logprobs.detach())
        return scores.logprobs, scores.entropies if forward.entropy else None

    def _score_active(
        self, arguments: tuple[Any, Tensor, Tensor, int], batch: Batch, active: Tensor, measured: bool
    ) -> Scores:
        """Scores of active rows, with gradient; see the class for those of skipped rows."""
        skipped_entropies: Tensor | float = torch.nan
        if measured:
            with torch.no_grad(), self._without_checkpointing():
                skipped_entropies = self._scorer.score(*arguments, ~active, entropy=True).entropies
        scores = self._scorer.score(*arguments, active, entropy=measured)
        entropies = torch.where(active[:, None], scores.entropies, skipped_entropies)
        # Equal to the old ones: exp(0 − old) could overflow, and inf · 0 is not 0.
        same = batch.get("old_per_token_logps", torch.zeros_like(scores.logprobs))
        return replace(scores, logprobs=torch.where(active[:, None], scores.logprobs, same), entropies=entropies)

    def _without_checkpointing(self) -> Any:
        options: Any = self.trainer.args.gradient_checkpointing_kwargs
        return disable_gradient_checkpointing(self.trainer.model, options)
