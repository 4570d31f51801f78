"""Bad numbers: an optimizer step whose loss, gradient or log-probs are not finite is left out, and said why."""

import logging
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from abcgrpo.errors import UserError
from abcgrpo.trl.metrics import QuadrantMetrics
from abcgrpo.trl.update.rows import Batch, loss_mask

logger = logging.getLogger(__name__)

MISMATCH = "sampling/sampling_logp_difference/mean"
"""TRL's mean |sampler's log-prob − trainer's| of a rollout, in nats; logged with vLLM's importance correction."""


class GuardedNumbers(QuadrantMetrics):
    """Skips an optimizer step that would write numbers that are not finite; warns of metrics that announce trouble.

    A skipped step leaves weights and optimizer state as they are and costs that step alone; the learning rate goes on
    with the number of the step. Logged is `skipped_steps`, the number of them since the run began, and for each its
    cause: the first token whose log-prob, ratio or advantage is not finite, with its prompt; or, where these are all
    finite, that the loss or the gradient is not, with the token of the largest ratio.

    With a gradient scaler (fp16) overflows belong to its search for a scale, and are left to it.

    Raises:
        UserError: `max_skipped_in_a_row` steps in a row are skipped; or one has to be under DeepSpeed, which has taken
            its step by then.
    """

    max_skipped_in_a_row = 10
    warn_ratio_above = 100.0
    warn_mismatch_above = 0.1
    warn_kl_above = 1.0
    """Defaults; fields of these names in the trainer's configuration come first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._passes: list[tuple[Batch, Tensor]] = []  # of the step: micro-batches and their log-probs
        self._step_is_bad = torch.tensor(False)
        self._above: set[str] = set()
        self.skipped_steps = 0
        self.skipped_in_a_row = 0
        super().__init__(*args, **kwargs)
        for name in ("max_skipped_in_a_row", "warn_ratio_above", "warn_mismatch_above", "warn_kl_above"):
            setattr(self, name, getattr(self.args, name, getattr(self, name)))

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if self.model.training:
            self._step_is_bad = self._step_is_bad.to(loss.device) | ~loss.detach().isfinite().all()
        return loss

    def _measure(self, inputs: Batch, logprobs: Tensor, entropies: Tensor) -> None:
        super()._measure(inputs, logprobs, entropies)
        if self.model.training:
            self._passes.append((inputs, logprobs))
            bad = ~logprobs.isfinite() & loss_mask(inputs).bool()
            self._step_is_bad = self._step_is_bad.to(bad.device) | bad.any()

    def _get_grad_norm(self, model, grad_norm=None):
        """The host's last call before the optimizer's step."""
        norm = super()._get_grad_norm(model, grad_norm)
        if isinstance(norm, DTensor):  # FSDP2: each process has a part of it
            norm = norm.full_tensor()
        finite = torch.as_tensor(norm, device=self._step_is_bad.device).isfinite()
        bad = self.accelerator.reduce((self._step_is_bad | ~finite).float(), "sum")
        if self.accelerator.scaler is None and cast(Tensor, bad).item() > 0:
            self._skip_step(model)
        else:
            self.skipped_in_a_row = 0
        self._metrics["train"]["skipped_steps"] = [float(self.skipped_steps)]
        self._passes.clear()
        self._step_is_bad = torch.zeros_like(self._step_is_bad)
        return norm

    def _skip_step(self, model: Any) -> None:
        self.skipped_steps += 1
        self.skipped_in_a_row += 1
        step = self.state.global_step + 1
        cause = self._cause()
        if self.is_deepspeed_enabled:
            raise UserError(f"Step {step} has numbers that are not finite, and DeepSpeed has taken it: {cause}.")
        model.zero_grad(set_to_none=True)  # without a gradient an optimizer leaves weights and state as they are
        if cause:
            logger.warning("Step %d is skipped: %s.", step, cause)
        if self.skipped_in_a_row >= self.max_skipped_in_a_row:
            raise UserError(
                f"{self.skipped_in_a_row} steps in a row, up to step {step}, have numbers that are not finite. The "
                f"last: {cause or 'on another process'}. The weights are those of before the first of them, and the "
                f"last checkpoint stays. A new run from it with other settings (a lower learning rate, tighter "
                f"boundaries) takes it as its model."
            )

    def _cause(self) -> str:
        """What is wrong in this process's part of the step; empty where another process's is."""
        for inputs, logprobs in self._passes:
            mask = loss_mask(inputs).bool()
            for name, values in self._suspects(inputs, logprobs).items():
                bad = ~values.isfinite() & mask
                if bad.any():
                    row, column = bad.nonzero()[0].tolist()
                    return f"{name} is {values[row, column].item()} at {self._token(inputs, logprobs, row, column)}"
        if not self._step_is_bad.item() and self.accelerator.num_processes > 1:
            return "" if self._passes == [] else "the gradient is not finite, though all log-probs here are"
        what = "the loss" if self._step_is_bad.item() else "the gradient"
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
        tokenizer: Any = getattr(self.processing_class, "tokenizer", self.processing_class)
        token = inputs["completion_ids"][row, column].item()
        prompt = tokenizer.decode(inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()])
        log_ratio = logprobs - inputs.get("old_per_token_logps", logprobs)
        return (
            f"token {column} ({tokenizer.decode([token])!r}, id {token}) of an answer to {prompt[:200]!r}, whose ratio "
            f"is {log_ratio[row, column].exp().item():.3g}"
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs, start_time)
        limits = {
            "ratio/max": self.warn_ratio_above,
            MISMATCH: self.warn_mismatch_above,
            "kl": self.warn_kl_above,
        }
        above = {name for name, limit in limits.items() if (logs.get(name) or 0.0) > limit}
        if self.accelerator.is_main_process:
            for name in sorted(above - self._above):
                step = self.state.global_step
                logger.warning("Step %d: %s is %.3g, above %g.", step, name, logs[name], limits[name])
        self._above = above
