"""Non-finite numbers: a step with a non-finite loss, gradient or log-prob is skipped, and a warning says why."""

import logging
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from abcgrpo.errors import UserError
from abcgrpo.trl.batch import Batch, loss_mask
from abcgrpo.trl.component import Component, LossPass, Metrics
from abcgrpo.trl.config import option

logger = logging.getLogger(__name__)

MISMATCH = "sampling/sampling_logp_difference/mean"
"""TRL's mean |sampler's log-prob − trainer's| of a rollout, in nats; logged with vLLM's importance correction."""


class NumberGuards(Component):
    """Skips an optimizer step that would write numbers that are not finite; warns of metrics that announce trouble.

    A skipped step leaves weights and optimizer state as they are and costs that step alone; the learning rate goes on
    with the number of the step. Logged is `skipped_steps`, the number of them since the run began, and for each its
    cause: the first token whose log-prob, ratio or advantage is not finite, with its prompt; or, where these are all
    finite, that the loss or the gradient is not, with the token of the largest ratio.

    With a gradient scaler (fp16) overflows belong to its search for a scale, and are left to it. DeepSpeed steps before
    anything else sees the gradient, and leaves a step out by itself where the gradient is not finite.

    Raises:
        UserError: `max_skipped_in_a_row` steps in a row are skipped; or DeepSpeed has taken a step whose loss or
            log-probs are not finite.
    """

    name = "numbers"

    def __init__(self, trainer: Any) -> None:
        super().__init__(trainer)
        self._most_in_a_row: int = option(trainer.args, "max_skipped_in_a_row")
        self._limits: dict[str, float] = {
            "ratio/max": option(trainer.args, "warn_ratio_above"),
            MISMATCH: option(trainer.args, "warn_mismatch_above"),
            "kl": option(trainer.args, "warn_kl_above"),
        }
        self._above: set[str] = set()
        self._passes: list[tuple[Batch, Tensor]] = []  # of the step: micro-batches and their log-probs
        self._step_is_bad = torch.tensor(False)
        self.skipped = 0
        """Steps skipped since the run began."""
        self.skipped_in_a_row = 0

    @property
    def may_be_saved(self) -> bool:
        """Within a streak of skipped steps the last state from before it stays the one to resume from."""
        return self.skipped_in_a_row == 0

    def state_dict(self) -> dict[str, Any]:
        return {"skipped": self.skipped, "skipped_in_a_row": self.skipped_in_a_row}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.skipped, self.skipped_in_a_row = state["skipped"], state["skipped_in_a_row"]

    def loss_computed(self, passed: LossPass, metrics: Metrics) -> None:
        assert passed.loss is not None, "the loss is computed"
        if not passed.training:
            return
        bad = ~passed.loss.isfinite().all()
        if passed.logprobs is not None:
            self._passes.append((passed.batch, passed.logprobs))
            bad = bad | (~passed.logprobs.isfinite() & loss_mask(passed.batch).bool()).any()
        self._step_is_bad = self._step_is_bad.to(bad.device) | bad

    def gradient_computed(self, model: Any, norm: Any, metrics: Metrics) -> None:
        accelerator = self.trainer.accelerator
        finite = torch.as_tensor(norm, device=self._step_is_bad.device).isfinite()
        bad = accelerator.reduce((self._step_is_bad | ~finite).float(), "sum")
        if accelerator.scaler is None and cast(Tensor, bad).item() > 0:
            self._skip_step(model)
        else:
            self.skipped_in_a_row = 0
        metrics["skipped_steps"] = [float(self.skipped)]
        self._passes.clear()
        self._step_is_bad = torch.zeros_like(self._step_is_bad)

    def _skip_step(self, model: Any) -> None:
        self.skipped += 1
        self.skipped_in_a_row += 1
        step = self.trainer.state.global_step + 1
        cause = self._cause()
        if not self.trainer.is_deepspeed_enabled:
            model.zero_grad(set_to_none=True)  # without a gradient an optimizer leaves weights and state as they are
        elif model.was_step_applied():
            raise UserError(
                f"Step {step} has numbers that are not finite, and DeepSpeed has taken it: "
                f"{cause or 'on another process'}. The weights are damaged; the last checkpoint is older."
            )
        if cause:
            logger.warning("Step %d is skipped: %s.", step, cause)
        if self.skipped_in_a_row >= self._most_in_a_row:
            raise UserError(
                f"{self.skipped_in_a_row} steps in a row, up to step {step}, have numbers that are not finite. The "
                f"last: {cause or 'on another process'}. The weights are those from before the first of them, and "
                f"the last checkpoint is kept. To continue, start a new run with that checkpoint as its model and "
                f"other settings, such as a lower learning rate or tighter boundaries."
            )

    def _cause(self) -> str:
        """What is wrong in this process's part of the step; empty if another process's is."""
        for inputs, logprobs in self._passes:
            mask = loss_mask(inputs).bool()
            for name, values in self._suspects(inputs, logprobs).items():
                bad = ~values.isfinite() & mask
                if bad.any():
                    row, column = bad.nonzero()[0].tolist()
                    return f"{name} is {values[row, column].item()} at {self._token(inputs, logprobs, row, column)}"
        if not self._step_is_bad.item() and self.trainer.accelerator.num_processes > 1:
            return "" if self._passes == [] else "the gradient is not finite, though all log-probs here are"
        what = "the loss" if self._step_is_bad.item() else "the gradient"
        if not self._passes:
            return f"{what} is not finite"
        return f"{what} is not finite, though all log-probs are; the largest ratio is at {self._largest()}"

    def _suspects(self, inputs: Batch, logprobs: Tensor) -> dict[str, Tensor]:
        """What a token's loss is made of, each (B, T)."""
        advantages = inputs["advantages"]
        found = {"the log-prob": logprobs, "the advantage": advantages if advantages.dim() > 1 else advantages[:, None]}
        for name, key in (
            ("the old log-prob", "old_per_token_logps"),
            ("the reference's log-prob", "ref_per_token_logps"),
            ("the sampler's importance ratio", "importance_sampling_ratio"),
        ):
            if inputs.get(key) is not None:
                found[name] = inputs[key]
        if "old_per_token_logps" in inputs:
            found["the ratio"] = (logprobs - inputs["old_per_token_logps"]).exp()
        return {name: values.expand_as(logprobs) for name, values in found.items()}

    def _largest(self) -> str:
        distances = []
        for inputs, logprobs in self._passes:
            log_ratio = logprobs - inputs.get("old_per_token_logps", logprobs)
            distances.append(torch.where(loss_mask(inputs).bool(), log_ratio, -torch.inf))
        largest = max(range(len(distances)), key=lambda index: distances[index].max().item())
        row, column = divmod(int(distances[largest].argmax()), distances[largest].size(1))
        return self._token(*self._passes[largest], row, column)

    def _token(self, inputs: Batch, logprobs: Tensor, row: int, column: int) -> str:
        tokenizer: Any = getattr(self.trainer.processing_class, "tokenizer", self.trainer.processing_class)
        token = inputs["completion_ids"][row, column].item()
        prompt = tokenizer.decode(inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()])
        log_ratio = logprobs - inputs.get("old_per_token_logps", logprobs)
        return (
            f"token {column} ({tokenizer.decode([token])!r}, id {token}) of an answer to {prompt[:200]!r}, whose ratio "
            f"is {log_ratio[row, column].exp().item():.3g}"
        )

    def log_ends(self, logs: Mapping[str, Any]) -> None:
        above = {name for name, limit in self._limits.items() if (logs.get(name) or 0.0) > limit}
        if self.trainer.accelerator.is_main_process:
            step = self.trainer.state.global_step
            for name in sorted(above - self._above):
                logger.warning("Step %d: %s is %.3g, above %g.", step, name, logs[name], self._limits[name])
        self._above = above
