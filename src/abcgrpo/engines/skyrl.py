"""SkyRL 0.4: a loss in its registry, with the clipping rule in a subclass of its `AlgorithmConfig`.

```python
from dataclasses import dataclass, field
from typing import Any
from skyrl.train.config import AlgorithmConfig, make_config
from abcgrpo.engines import skyrl


@dataclass
class Algorithm(AlgorithmConfig):
    policy_loss_type: str = "abcgrpo"
    rule: Any = field(default_factory=lambda: {"name": "abc_grpo"})


Config = make_config(algorithm_cls=Algorithm)
skyrl.register()  # in the driver, before the trainer starts; SkyRL hands it to its workers
```

SkyRL divides the advantages by the normaliser of its `loss_reduction` before the loss sees them, so that the loss is a
masked sum. Earlier releases have other contracts, and are refused.
"""
# pyright: reportMissingImports=false
# SkyRL is not in the environment of the type checker.

from typing import Any

from torch import Tensor

from abcgrpo.engines.settings import event_fractions, read_rule, refuse, require_version
from abcgrpo.objective import token_loss

NAME = "abcgrpo"
SERIES = "0.4"
REFUSED = ("use_tis",)
"""SkyRL's deprecated name for a correction that `off_policy_correction` has."""


def register() -> None:
    """Put the loss into SkyRL's `PolicyLossRegistry` under the name `abcgrpo`.

    Raises:
        RuntimeError: another version of SkyRL.
        ValueError: the name is taken.
    """
    require_version("skyrl", SERIES)
    from skyrl.backends.skyrl_train.utils.ppo_utils import PolicyLossRegistry

    if NAME in PolicyLossRegistry.list_available():
        raise ValueError(f"SkyRL's registry has a policy loss {NAME!r} already: it is not overwritten")
    PolicyLossRegistry.register(NAME, policy_loss)


def policy_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    config: Any,
    loss_mask: Tensor | None = None,
    rollout_logprobs: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The masked sum of the token losses under SkyRL's own off-policy correction, and fractions of clip events.

    Args:
        log_probs: (B, T).
        old_log_probs: (B, T).
        advantages: (B, T), divided by SkyRL's normaliser.
        config: SkyRL's algorithm configuration with a field `rule`.
        loss_mask: (B, T); None: every token counts.
        rollout_logprobs: (B, T), the sampler's: for `off_policy_correction`.

    Raises:
        UserError: an unknown rule or parameter.
        ValueError: no rule, one that does not go with SkyRL (`read_rule`), or an option that would be ignored.
    """
    from skyrl.backends.skyrl_train.utils.off_policy_correction_utils import apply_off_policy_correction

    refuse(config, REFUSED, "SkyRL")
    rule = read_rule(config, "SkyRL", scaled_advantages=True)
    mask = log_probs.new_ones(log_probs.shape) if loss_mask is None else loss_mask
    losses = token_loss(log_probs, old_log_probs, advantages, rule, mask)
    events = event_fractions(log_probs, old_log_probs, advantages, mask)
    losses, mask, corrections = apply_off_policy_correction(
        losses, old_log_probs, rollout_logprobs, mask, config.off_policy_correction
    )
    return (losses * mask).sum(), {name: value.item() for name, value in events.items()} | corrections
