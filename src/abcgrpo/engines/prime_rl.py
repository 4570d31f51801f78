"""prime-rl: a loss that it calls for one sequence at a time.

```toml
[trainer.loss]
type = "custom"
import_path = "abcgrpo.engines.prime_rl.policy_loss"

[trainer.loss.kwargs.rule]
name = "abc_grpo"
```

prime-rl divides the sum over sequences by the number of loss tokens of the step: the reduction is the token mean. Its
ratio is trainer over inference log-probs; there is no pass for old log-probs.
"""

from typing import Any

from abcgrpo.engines.settings import event_fractions, read_rule
from abcgrpo.objective import token_loss


def policy_loss(inputs: Any, *, rule: Any = None) -> Any:
    """The masked sum of the token losses of one sequence, as prime-rl's `LossOutputs`.

    Args:
        inputs: prime-rl's `LossInputs`: trainer_logprobs, inference_logprobs and advantages (T,), loss_mask (T,) bool;
            where there are loss_weights (T,), they weigh the tokens.
        rule: the clipping rule, from `[trainer.loss.kwargs]`: a name, or a name and parameters.

    Raises:
        UserError: an unknown rule or parameter.
        ValueError: no rule, or one that does not go with prime-rl; see `read_rule`.
    """
    from prime_rl.trainer.rl.loss import LossOutputs  # pyright: ignore[reportMissingImports]

    chosen = read_rule({"rule": rule}, "prime-rl")
    logprobs, old_logprobs, advantages, mask = (
        tensor.unsqueeze(0)
        for tensor in (inputs.trainer_logprobs, inputs.inference_logprobs, inputs.advantages, inputs.loss_mask)
    )
    losses = token_loss(logprobs, old_logprobs, advantages, chosen, mask)
    weights = getattr(inputs, "loss_weights", None)
    if weights is not None:
        losses = losses * weights
    return LossOutputs(loss=losses.sum(), metrics=event_fractions(logprobs, old_logprobs, advantages, mask))
