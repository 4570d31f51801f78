"""torchtitan 0.3: a loss for its reinforcement learning trainer (`torchtitan.experiments.rl`).

```python
from abcgrpo.engines.torchtitan import RuleLoss

RuleLoss.Config(rule={"name": "abc_grpo"})  # where a configuration of torchtitan has DAPOLoss.Config(…)
```

The mean is over the tokens of the whole step. torchtitan has no pass for old log-probs: the ratio is the trainer's over
the generator's.
"""
# pyright: reportMissingImports=false, reportUntypedBaseClass=false, reportGeneralTypeIssues=false
# torchtitan is not in the environment of the type checker.

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchtitan.components.loss import BaseLoss, compute_logprobs

from abcgrpo.engines.settings import event_fractions, read_rule, require_version
from abcgrpo.objective import token_loss

require_version("torchtitan", "0.3")


class RuleLoss(BaseLoss):
    """The objective with the token mean under torchtitan's contract, for any clipping rule.

    Raises:
        RuntimeError: on import, another version of torchtitan.
        UserError: an unknown rule or parameter.
        ValueError: a rule that does not go with torchtitan; see `read_rule`.
    """

    @dataclass(kw_only=True, slots=True)
    class Config(BaseLoss.Config):
        rule: str | dict[str, Any]
        """The clipping rule: a name, or a name and parameters."""

    def __init__(self, config: Any, *, compile_config: Any = None) -> None:
        del compile_config  # torchtitan's own policy losses are not compiled either
        self.rule = read_rule(config, "torchtitan", responses_share_rows=True)

    def __call__(
        self,
        logits: Tensor,
        labels: Tensor,
        global_valid_tokens: float | None = None,
        *,
        generator_logprobs: Tensor,
        advantages: Tensor,
        loss_mask: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """This micro-batch's part of the step's loss, and of its metrics; parts add up over micro-batches and ranks.

        Args:
            logits: (B, L, V).
            labels: (B, L), the tokens that they predict.
            global_valid_tokens: tokens of the step whose generator's log-prob is finite: what the sum is divided by.
            generator_logprobs: (B, L); tokens where it is not finite take no part, as in torchtitan's own losses.
            advantages: (B, L).
            loss_mask: (B, L), bool.
        """
        logprobs, entropies = compute_logprobs(logits, labels, return_entropy=True)
        mask = loss_mask & generator_logprobs.isfinite()
        tokens = max(global_valid_tokens or 1, 1)
        loss = token_loss(logprobs, generator_logprobs, advantages, self.rule, mask).sum() / tokens
        metrics = event_fractions(logprobs, generator_logprobs, advantages, mask, tokens)
        entropy = torch.where(mask, entropies.detach(), 0.0).sum() / tokens
        return loss, {"loss/mean": loss.detach(), "trainer/entropy/mean": entropy} | metrics
