"""Tinker: a loss for `TrainingClient.forward_backward_custom`, which computes it here and sends its gradient.

```python
from abcgrpo.engines.tinker import rule_loss

future = training_client.forward_backward_custom(data, rule_loss("abc_grpo"))
```

Each datum has, beside `target_tokens`, `logprobs` (the sampler's), `advantages` and `mask` of the same length.

The service must add up weight · log-prob, as Tinker's does. SkyRL's server of the same interface (0.4.0, JAX) divides
by the sum of the weights, which leaves no custom loss as it is (docs/engines.md).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from abcgrpo.engines.settings import event_fractions, read_rule
from abcgrpo.objective import Reduction, policy_loss
from abcgrpo.rules import Rule

FIELDS = ("logprobs", "advantages", "mask")


def rule_loss(
    rule: Rule | str | Mapping[str, Any], reduction: Reduction = "sequence_mean", *, max_length: int | None = None
) -> Callable[[Sequence[Any], list[Tensor]], tuple[Tensor, dict[str, float]]]:
    """A loss of Tinker's contract: data and a list of log-probs (Tᵢ,) in, loss and metrics out.

    Args:
        rule: the clipping rule.
        reduction: over the data of one call.
        max_length: of "dr_grpo"; see `abcgrpo.objective.aggregate`.

    Raises:
        UserError: an unknown rule or parameter.
        ValueError: a rule that does not go with Tinker (`read_rule`); when it is called, a datum without a field.
    """
    chosen = read_rule({"rule": rule}, "Tinker")

    def loss(data: Sequence[Any], logprobs: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        for datum in data:
            if missing := [name for name in FIELDS if name not in datum.loss_fn_inputs]:
                raise ValueError(f"Tinker: a datum's loss_fn_inputs lack {', '.join(missing)}")
        old, advantages, mask = (
            pad_sequence([datum.loss_fn_inputs[name].to_torch() for datum in data], batch_first=True) for name in FIELDS
        )
        new = pad_sequence(logprobs, batch_first=True)
        total = policy_loss(new, old, advantages, mask, chosen, reduction, max_length=max_length)
        return total, {name: value.item() for name, value in event_fractions(new, old, advantages, mask).items()}

    return loss
