"""SkyRL: a loss in its registry, with thresholds in a subclass of its `AlgorithmConfig`.

```python
from skyrl_train.utils.ppo_utils import PolicyLossRegistry
from abcgrpo.engines import skyrl

skyrl.register(PolicyLossRegistry)  # before the trainer starts, then: trainer.algorithm.policy_loss_type="abc_grpo"
```

SkyRL scales the advantages by its `loss_reduction` before the loss sees them, so that the loss is a masked sum.
"""

from typing import Any

from torch import Tensor

from abcgrpo.engines.settings import event_fractions, get, read_boundaries, refuse
from abcgrpo.objective import token_loss

NAME = "abc_grpo"
REFUSED = ("use_tis",)
REFUSED_CORRECTIONS = ("tis_ratio_type", "sequence_mask_metric")
"""SkyRL's losses apply the correction between sampler and trainer themselves; this one has none."""


def register(registry: Any) -> None:
    """Put the loss into SkyRL's `PolicyLossRegistry` under the name `abc_grpo`.

    Raises:
        ValueError: the name is taken.
    """
    if NAME in registry.list_available():
        raise ValueError(f"SkyRL's registry has a policy loss {NAME!r} already: it is not overwritten")
    registry.register(NAME, abc_grpo)


def abc_grpo(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    config: Any,
    loss_mask: Tensor | None = None,
    rollout_logprobs: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The masked sum of the token losses, and fractions of clip events.

    Args:
        log_probs: (B, T).
        old_log_probs: (B, T).
        advantages: (B, T), scaled by SkyRL.
        config: SkyRL's algorithm configuration, with the four thresholds of `Boundaries` added.
        loss_mask: (B, T); None: every token counts.
        rollout_logprobs: not used; SkyRL passes them for the correction that is refused.

    Raises:
        ValueError: a threshold is missing or is none, or an option is set that this loss would not follow.
    """
    refuse(config, REFUSED, "SkyRL")
    refuse(get(config, "off_policy_correction", {}), REFUSED_CORRECTIONS, "SkyRL")
    mask = log_probs.new_ones(log_probs.shape) if loss_mask is None else loss_mask
    losses = token_loss(log_probs, old_log_probs, advantages, read_boundaries(config), mask)
    fractions = event_fractions(log_probs, old_log_probs, advantages, mask)
    return losses.sum(), {name: value.item() for name, value in fractions.items()}
