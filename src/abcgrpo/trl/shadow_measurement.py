"""The component that measures other clipping rules beside the one that is trained."""

from typing import Any, cast

from torch import Tensor

from abcgrpo.shadow import ShadowRules
from abcgrpo.trl.batch import loss_mask
from abcgrpo.trl.component import Component, LossPass, Metrics


class ShadowMeasurement(Component):
    """Logs what rules would have made of the tokens of each optimizer step (`abcgrpo.shadow`).

    | metric                           | meaning                                                                  |
    |----------------------------------|--------------------------------------------------------------------------|
    | `shadow/removed/<rule>`          | Σ|Â|·|r − w| ÷ Σ|Â|·r: the share of the gradient's mass that it removes  |
    | `shadow/removed/<rule>/q1` …     | its part in each quadrant                                                |
    | `shadow/distance/<rule>/<rule>`  | Σ|Â|·|w − w′| ÷ Σ|Â|·r                                                   |

    Weighted by tokens, exact over micro-batches and processes; 0 in the first mini-batch of a rollout. The rule that is
    trained is called `trained`. Evaluations are not measured.
    """

    name = "shadow"

    def __init__(self, trainer: Any, rules: ShadowRules) -> None:
        super().__init__(trainer)
        self.rules = rules
        self._sums: dict[str, Tensor] = {}  # of the optimizer step

    def loss_computed(self, passed: LossPass, metrics: Metrics) -> None:
        if not passed.training or passed.logprobs is None:
            return
        batch = passed.batch
        old_logprobs = batch.get("old_per_token_logps", passed.logprobs)
        measured = self.rules.measure(passed.logprobs, old_logprobs, batch["advantages"], loss_mask(batch))
        for name, value in measured.items():
            self._sums[name] = self._sums.get(name, 0) + value.double()

    def step_ends(self, passed: LossPass, metrics: Metrics) -> None:
        if not self._sums:
            return
        reduce = self.trainer.accelerator.reduce
        sums = {name: cast(Tensor, reduce(value, "sum")) for name, value in sorted(self._sums.items())}
        self._sums.clear()
        for name, value in self.rules.summarize(sums).items():
            metrics[f"shadow/{name}"].append(value)
