"""What a training run logs beside the host's metrics: clip events by quadrant, the largest ratio, the entropy.

One value per optimizer step, weighted by tokens and exact over micro-batches and ranks: sums are kept until the step
ends and divided then. (The host averages micro-batches of unequal size instead.) With `logging_steps` above 1 the host
then averages those values over the steps; of `ratio/max` the maximum is kept.
"""

from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from abcgrpo.quadrants import clip_events
from abcgrpo.tokens import RatioLevel, importance_ratio
from abcgrpo.trl.update import FastUpdate
from abcgrpo.trl.update.rows import loss_mask


class QuadrantMetrics(FastUpdate):
    """Logs clip events by quadrant, whatever the loss.

    | metric                   | meaning                                                                        |
    |--------------------------|--------------------------------------------------------------------------------|
    | `clip/q1` … `clip/q4`    | clip events of the quadrant ÷ all completion tokens                            |
    | `clip_share/q1` …        | clip events of the quadrant ÷ those of all quadrants; absent without an event  |
    | `ratio/max`              | largest importance ratio of a completion token; 1 for rows the update skips    |
    | `entropy`                | mean over all completion tokens, in nats                                       |
    """

    model: PreTrainedModel
    importance_sampling_level: RatioLevel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._loss_pass: tuple[Tensor, Tensor] | None = None
        self._sums: dict[str, Tensor] = {}
        self._largest_ratio = torch.tensor(0.0)
        super().__init__(*args, **kwargs)

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any):
        logprobs, entropies, router_loss = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if entropies is not None:  # the loss's own pass, not the one for old or reference log-probs
            self._loss_pass = (logprobs.detach(), entropies.detach())
        return logprobs, entropies, router_loss

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        mode = "train" if self.model.training else "eval"
        logged = len(self._metrics[mode]["entropy"])
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        del self._metrics[mode]["entropy"][logged:]  # the host's mean over micro-batches; ours is over tokens
        assert self._loss_pass is not None, "the loss made no forward pass"
        self._measure(inputs, *self._loss_pass)
        self._loss_pass = None
        if mode == "eval" or self.accelerator.sync_gradients:
            self._close_step(self._metrics[mode])
        return loss

    def _measure(self, inputs: dict[str, Any], logprobs: Tensor, entropies: Tensor) -> None:
        mask = loss_mask(inputs)
        old_logprobs = inputs.get("old_per_token_logps", logprobs)
        ratio = importance_ratio(logprobs, old_logprobs, mask, self.importance_sampling_level)
        self._add("tokens", mask.sum())
        self._add("events", clip_events(ratio, inputs["advantages"], mask).counts())
        if self.entropy_is_measured:  # not in the steps that are not logged, where rows are skipped
            self._add_tokens("entropy", entropies, mask)
        self._largest_ratio = torch.maximum(self._largest_ratio.to(ratio.device), (ratio * mask).max())

    def _add(self, name: str, value: Tensor) -> None:
        self._sums[name] = self._sums.get(name, 0) + value.float()

    def _add_tokens(self, name: str, values: Tensor, mask: Tensor) -> None:
        """Log the mean of `values` (B, T) over the step's unmasked tokens as `name`."""
        self._add(name, torch.where(mask.bool(), values.detach(), 0.0).sum())

    def _close_step(self, metrics: dict[str, list[float]]) -> None:
        sums = {name: cast(Tensor, self.accelerator.reduce(value, "sum")) for name, value in sorted(self._sums.items())}
        events, tokens = sums.pop("events"), sums.pop("tokens").clamp(min=1)
        for quadrant, count in zip(("q1", "q2", "q3", "q4"), events.tolist(), strict=True):
            metrics[f"clip/{quadrant}"].append(count / tokens.item())
            if events.sum() > 0:
                metrics[f"clip_share/{quadrant}"].append(count / events.sum().item())
        for name, value in sums.items():
            metrics[name].append((value / tokens).item())
        metrics["ratio/max"].append(cast(Tensor, self.accelerator.gather(self._largest_ratio)).max().item())
        self._sums.clear()
        self._largest_ratio = torch.tensor(0.0)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        mode = "train" if self.model.training else "eval"
        largest = self._metrics[mode].get("ratio/max")
        if largest:
            self._metrics[mode]["ratio/max"] = [max(largest)]
        super().log(logs, start_time)
