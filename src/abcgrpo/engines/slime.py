"""slime: a loss function by its path, the clipping rule in a YAML file.

```console
$ python train.py … --loss-type custom_loss --custom-loss-function-path abcgrpo.engines.slime.policy_loss \\
    --custom-config-path rule.yaml   # rule: {name: abc_grpo}
```

slime's `sum_of_sample_mean` masks and reduces: with its default each response's mean, which slime then divides by the
responses of the step (eq. 6); with `--calculate-per-token-loss` the sum, divided by the tokens of the step.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from abcgrpo.engines.settings import read_rule, refuse
from abcgrpo.objective import token_loss
from abcgrpo.quadrants import clip_events
from abcgrpo.tokens import importance_ratio

REFUSED = ("use_kl_loss", "use_tis", "entropy_coef")


def policy_loss(
    args: Any, batch: Mapping[str, Any], logits: Tensor, sum_of_sample_mean: Callable[[Tensor], Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The reduced token losses of a micro-batch and, reduced alike, its clip events.

    Args:
        args: slime's, with a field `rule`.
        batch: unconcat_tokens, total_lengths, response_lengths; advantages and log_probs (old ones; rollout_log_probs
            with `use_rollout_logprobs`), one tensor (Tᵢ,) for each response.
        logits: (1, tokens, vocabulary).
        sum_of_sample_mean: slime's reduction of the responses' values, side by side in one tensor (ΣTᵢ,).

    Raises:
        UserError: an unknown rule or parameter.
        ValueError: no rule, one that does not go with slime (`read_rule`), or an option that would be ignored.
    """
    from slime.backends.megatron_utils.loss import (  # pyright: ignore[reportMissingImports]
        get_log_probs_and_entropy,
    )

    refuse(args, REFUSED, "slime")
    rule = read_rule(args, "slime", responses_share_rows=True)
    found = get_log_probs_and_entropy(
        logits,
        args=args,
        unconcat_tokens=batch["unconcat_tokens"],
        total_lengths=batch["total_lengths"],
        response_lengths=batch["response_lengths"],
    )
    found = found[1] if isinstance(found, tuple) else found  # some versions return (nothing, results)
    old_name = "rollout_log_probs" if getattr(args, "use_rollout_logprobs", False) else "log_probs"
    logprobs, old_logprobs, advantages = (
        torch.cat(list(values)).unsqueeze(0) for values in (found["log_probs"], batch[old_name], batch["advantages"])
    )
    losses = token_loss(logprobs, old_logprobs, advantages, rule, torch.ones_like(logprobs))
    events = clip_events(importance_ratio(logprobs.detach(), old_logprobs), advantages, torch.ones_like(logprobs))
    metrics = {f"clip/q{quadrant}": sum_of_sample_mean(e[0].float()) for quadrant, e in enumerate(events, start=1)}
    # A rank of context parallelism may hold no token of these responses; its backward pass is wanted all the same.
    loss = sum_of_sample_mean(losses[0]) + 0.0 * logits.sum()
    return loss, metrics | {"loss": loss.detach()}
