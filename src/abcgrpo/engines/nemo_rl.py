"""NeMo-RL: a loss object that a driver of your own passes to its GRPO loop.

```python
from nemo_rl.algorithms.loss.interfaces import LossInputType, LossType
from abcgrpo.engines.nemo_rl import RuleLoss

loss = RuleLoss(config["loss_fn"], LossType.SEQUENCE_LEVEL, LossInputType.LOGPROB)  # eq. 6
```

Extra keys of `loss_fn` in NeMo-RL's YAML reach the loss; there goes `rule: {name: abc_grpo}`.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from abcgrpo.engines.settings import event_fractions, get, read_rule, refuse
from abcgrpo.objective import Reduction, policy_loss

REDUCTIONS: dict[str, Reduction] = {"TOKEN_LEVEL": "token_mean", "SEQUENCE_LEVEL": "sequence_mean"}
"""Reductions by the names of NeMo-RL's `LossType`."""
REFUSED = (
    "reference_policy_kl_penalty",
    "use_importance_sampling_correction",
    "truncated_importance_sampling_type",
    "sequence_level_importance_ratios",
    "disable_ppo_ratio",
    "force_on_policy_ratio",
    "positive_example_nll_weight",
    "ratio_clip_c",
    "use_cispo",
)


class RuleLoss:
    """The objective under NeMo-RL's contract: this micro-batch's part of a loss that is normalised over the step.

    Args:
        config: `loss_fn` of the configuration, with a field `rule`.
        loss_type: a member of NeMo-RL's `LossType`: the reduction.
        input_type: NeMo-RL's `LossInputType.LOGPROB`.

    Raises:
        UserError: an unknown rule or parameter.
        ValueError: no rule, or one that does not go with NeMo-RL (`read_rule`); an option that would be ignored; an
            unknown `loss_type`, or one that `token_level_loss` contradicts.
    """

    def __init__(self, config: Mapping[str, Any], loss_type: Any, input_type: Any) -> None:
        refuse(config, REFUSED, "NeMo-RL")
        if loss_type.name not in REDUCTIONS:
            raise ValueError(f"loss_type must be one of {', '.join(REDUCTIONS)}, got {loss_type.name}")
        by_token = get(config, "token_level_loss")
        if by_token is not None and by_token != (loss_type.name == "TOKEN_LEVEL"):
            raise ValueError(f"token_level_loss={by_token!r} contradicts loss_type={loss_type.name}")
        self.rule = read_rule(config, "NeMo-RL")
        self.loss_type = loss_type
        self.input_type = input_type

    def __call__(
        self,
        next_token_logprobs: Tensor,
        data: Mapping[str, Tensor],
        global_valid_seqs: Tensor,
        global_valid_toks: Tensor,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Loss and metrics of a micro-batch; over all micro-batches and ranks the losses add up to the step's.

        Args:
            next_token_logprobs: (B, S − 1), of tokens 1 … S − 1.
            data: prev_logprobs, advantages and token_mask (B, S), aligned with the tokens; sample_mask (B,).
            global_valid_seqs: responses of the whole step, 0-d.
            global_valid_toks: tokens of the whole step, 0-d.
        """
        mask = data["token_mask"][:, 1:] * data["sample_mask"].unsqueeze(-1)
        old_logprobs, advantages = data["prev_logprobs"][:, 1:], data["advantages"][:, 1:]
        reduction = REDUCTIONS[self.loss_type.name]
        normalizer = global_valid_toks if reduction == "token_mean" else global_valid_seqs
        loss = policy_loss(
            next_token_logprobs, old_logprobs, advantages, mask, self.rule, reduction, normalizer=normalizer
        )
        fractions = event_fractions(next_token_logprobs, old_logprobs, advantages, mask)
        metrics = {name: value.item() for name, value in fractions.items()}
        return loss, metrics | {"loss": loss.item(), "num_valid_samples": data["sample_mask"].sum().item()}
