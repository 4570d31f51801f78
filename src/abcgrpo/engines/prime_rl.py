"""prime-rl: a loss that it calls for one sequence at a time.

```toml
[trainer.loss]
type = "custom"
import_path = "abcgrpo.engines.prime_rl.abc_grpo"

[trainer.loss.kwargs]
eps_pos_high = 0.2
eps_pos_low = 0.2
eps_neg_high = 0.2
eps_neg_low = 0.2
```

prime-rl divides the sum over sequences by the number of loss tokens of the step: the reduction is the token mean. Its
ratio is trainer over inference log-probs; there is no pass for old log-probs.
"""

from typing import Any

from abcgrpo.engines.settings import event_fractions, read_boundaries
from abcgrpo.objective import token_loss


def abc_grpo(inputs: Any, **thresholds: float) -> Any:
    """The masked sum of the token losses of one sequence, as prime-rl's `LossOutputs`.

    Args:
        inputs: prime-rl's `LossInputs`: trainer_logprobs, inference_logprobs and advantages (T,), loss_mask (T,) bool;
            where there are loss_weights (T,), they weigh the tokens.
        thresholds: the four of `Boundaries`, from `[trainer.loss.kwargs]`.

    Raises:
        ValueError: a threshold is missing, is none, or is unknown.
    """
    from prime_rl.trainer.rl.loss import LossOutputs  # pyright: ignore[reportMissingImports]

    bounds = read_boundaries(thresholds)
    if unknown := thresholds.keys() - bounds.parameters().keys():
        raise ValueError(f"trainer.loss.kwargs: unknown: {', '.join(sorted(unknown))}")
    logprobs, old_logprobs, advantages, mask = (
        tensor.unsqueeze(0)
        for tensor in (inputs.trainer_logprobs, inputs.inference_logprobs, inputs.advantages, inputs.loss_mask)
    )
    losses = token_loss(logprobs, old_logprobs, advantages, bounds, mask)
    weights = getattr(inputs, "loss_weights", None)
    if weights is not None:
        losses = losses * weights
    return LossOutputs(loss=losses.sum(), metrics=event_fractions(logprobs, old_logprobs, advantages, mask))
