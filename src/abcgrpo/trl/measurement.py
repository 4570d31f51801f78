"""What a training run logs beside the host's metrics: clip events by quadrant, the largest ratio, the entropy.

One value per optimizer step, weighted by tokens and exact over micro-batches and ranks: sums are kept until the step
ends and divided then. (The host averages micro-batches of unequal size instead.) With `logging_steps` above 1 the host
then averages those values over the steps; of `ratio/max` the maximum is kept.
"""

import logging
from typing import Any, cast

import torch
from torch import Tensor

from abcgrpo.event_shares import QUADRANTS, clip_shares
from abcgrpo.quadrants import MOVED, clip_events
from abcgrpo.tokens import importance_ratio
from abcgrpo.trl.batch import loss_mask
from abcgrpo.trl.component import Component, LossPass, Metrics

logger = logging.getLogger(__name__)


class Measurement(Component):
    """Logs clip events by quadrant, whatever the loss.

    | metric                   | meaning                                                                        |
    |--------------------------|--------------------------------------------------------------------------------|
    | `clip/q1` … `clip/q4`    | clip events of the quadrant ÷ all completion tokens                            |
    | `quadrant/q1` …          | tokens of the quadrant, |r − 1| > 0.001, ÷ all completion tokens               |
    | `clip_share/q1` …        | clip events of the quadrant ÷ those of all quadrants; absent without an event  |
    | `prefix/shared`          | tokens that other responses of the group wrote after the same prefix ÷ all     |
    | `prefix/over_punished`   | of the Q3 and Q4 events, those whose prefix, the token included, was worth no  |
    |                          | less than its group: V(s_{t+1}) ≥ V(root); absent without such an event        |
    | `ratio/max`              | largest importance ratio of a completion token; 1 for rows the update skips    |
    | `entropy`                | mean over all completion tokens, in nats                                       |

    and the means that the loss itself asks for (`LossPass.token_means`). A loss that runs the policy by itself, not by
    the trainer's `_get_per_token_logps_and_entropies`, leaves nothing to measure.
    """

    name = "measurement"

    def __init__(self, trainer: Any) -> None:
        super().__init__(trainer)
        self._sums: dict[str, Tensor] = {}  # of the optimizer step
        self._largest_ratio = torch.tensor(0.0)
        self._logged_entropies = 0
        self._told = False

    def loss_begins(self, passed: LossPass, metrics: Metrics) -> None:
        self._logged_entropies = len(metrics.get("entropy", []))

    def loss_computed(self, passed: LossPass, metrics: Metrics) -> None:
        if passed.logprobs is None:
            if not self._told:
                logger.warning("This loss runs the policy by itself: clip/…, ratio/max and entropy are not measured.")
                self._told = True
            return
        mask = loss_mask(passed.batch)
        old_logprobs = passed.batch.get("old_per_token_logps", passed.logprobs)
        ratio = importance_ratio(passed.logprobs, old_logprobs, mask, self.trainer.importance_sampling_level)
        self._add("tokens", mask.sum())
        events = clip_events(ratio, passed.batch["advantages"], mask)
        self._add("events", events.counts())
        self._add("quadrants", clip_events(ratio, passed.batch["advantages"], mask, MOVED).counts())
        if "prefix_leaves" in passed.batch:  # a rollout for training that went through TRL's own scoring
            self._add("shared", ((passed.batch["prefix_leaves"] > 1) & mask.bool()).sum())
            self._add("over_punished", ((events.q3 | events.q4) & (passed.batch["prefix_gain"] >= 0)).sum())
        self._largest_ratio = torch.maximum(self._largest_ratio.to(ratio.device), (ratio * mask).max())
        if passed.entropies is not None:
            # The host's mean of this micro-batch; ours is over the step's tokens.
            del metrics["entropy"][self._logged_entropies :]
            if passed.entropies_are_whole:
                self._add_tokens("entropy", passed.entropies, mask)
        for name, values in passed.token_means.items():
            self._add_tokens(name, values, mask)

    def _add(self, name: str, value: Tensor) -> None:
        self._sums[name] = self._sums.get(name, 0) + value.float()

    def _add_tokens(self, name: str, values: Tensor, mask: Tensor) -> None:
        self._add(name, torch.where(mask.bool(), values.detach(), 0.0).sum())

    def step_ends(self, passed: LossPass, metrics: Metrics) -> None:
        if not self._sums:
            return
        reduce, gather = self.trainer.accelerator.reduce, self.trainer.accelerator.gather
        sums = {name: cast(Tensor, reduce(value, "sum")) for name, value in sorted(self._sums.items())}
        events, tokens = sums.pop("events"), sums.pop("tokens").clamp(min=1)
        for name, counts in (("clip", events), ("quadrant", sums.pop("quadrants"))):
            for quadrant, count in zip(QUADRANTS, counts.tolist(), strict=True):
                metrics[f"{name}/{quadrant}"].append(count / tokens.item())
        for quadrant, share in zip(QUADRANTS, clip_shares([events.tolist()]) or (), strict=False):
            metrics[f"clip_share/{quadrant}"].append(share)
        if "shared" in sums:
            metrics["prefix/shared"].append((sums.pop("shared") / tokens).item())
            over_punished, punished = sums.pop("over_punished").item(), events[2:].sum().item()
            if punished > 0:
                metrics["prefix/over_punished"].append(over_punished / punished)
        for name, value in sums.items():
            metrics[name].append((value / tokens).item())
        metrics["ratio/max"].append(cast(Tensor, gather(self._largest_ratio)).max().item())
        self._sums.clear()
        self._largest_ratio = torch.tensor(0.0)

    def log_begins(self, metrics: Metrics) -> None:
        if largest := metrics.get("ratio/max"):
            metrics["ratio/max"] = [max(largest)]
