"""The component that moves the thresholds of a rule that adapts."""

import logging
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from abcgrpo.rules import AdaptiveRule
from abcgrpo.tokens import tokens_of
from abcgrpo.trl.batch import loss_mask
from abcgrpo.trl.component import Component, LossPass, Metrics

logger = logging.getLogger(__name__)


class RuleControl(Component):
    """Adds up what an adaptive rule measures, over micro-batches and processes, and lets it move once per step.

    Logged is `rule/<name>`, what `AdaptiveRule.update` returns: the thresholds that the next optimizer step uses. After
    a step whose sums are not finite the thresholds stay.
    """

    name = "rule"

    def __init__(self, trainer: Any, rule: AdaptiveRule) -> None:
        super().__init__(trainer)
        self.rule = rule
        self._sums: dict[str, Tensor] = {}  # of the optimizer step

    @torch.no_grad()
    def loss_computed(self, passed: LossPass, metrics: Metrics) -> None:
        if not passed.training:
            return
        if passed.logprobs is None:
            raise ValueError(f"the rule {self.rule.name!r} adapts to log-probs that this loss does not show")
        batch = passed.batch
        old_logprobs = batch.get("old_per_token_logps", passed.logprobs)
        level = self.trainer.importance_sampling_level
        tokens = tokens_of(passed.logprobs, old_logprobs, batch["advantages"], loss_mask(batch), level)
        for name, value in self.rule.measure(tokens).items():
            self._sums[name] = self._sums.get(name, 0) + value.double()

    def step_ends(self, passed: LossPass, metrics: Metrics) -> None:
        if not passed.training:
            return
        reduce = self.trainer.accelerator.reduce
        sums = {name: cast(Tensor, reduce(value, "sum")) for name, value in sorted(self._sums.items())}
        self._sums.clear()
        if all(value.isfinite().all() for value in sums.values()):
            moved = self.rule.update(sums)
        else:
            logger.warning(
                "Step %d: the thresholds of %s do not move, because of non-finite sums.",
                self.trainer.state.global_step + 1,
                self.rule.name,
            )
            return
        for name, value in moved.items():
            metrics[f"rule/{name}"].append(value)

    def state_dict(self) -> dict[str, Any]:
        return dict(self.rule.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rule.load_state_dict(state)
