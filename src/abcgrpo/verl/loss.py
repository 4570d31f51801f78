"""The objective under verl's calling convention for policy losses, and its registration."""
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false
# verl is not in the environment of the type checker.

from typing import Any

import torch
from torch import Tensor
from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY, agg_loss, register_policy_loss
from verl.workers.config import ActorConfig

from abcgrpo.objective import token_loss
from abcgrpo.quadrants import clip_events
from abcgrpo.tokens import importance_ratio
from abcgrpo.verl.config import LOSS_NAME, boundaries_of


def abc_grpo(
    old_log_prob: Tensor,
    log_prob: Tensor,
    advantages: Tensor,
    response_mask: Tensor,
    loss_agg_mode: str = "token-mean",
    config: ActorConfig | None = None,
    rollout_is_weights: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """ABC-GRPO's loss of a micro-batch (paper, algorithm 1) with verl's reductions; tensors are (B, T).

    The token loss −r̃·Â is `abcgrpo.objective.token_loss`. The paper's equation 6 is
    `loss_agg_mode="seq-mean-token-mean"`, its equation 3 `algorithm.norm_adv_by_std_in_grpo=false`.

    Args:
        old_log_prob: of the policy that the ratio is taken against.
        log_prob: of the policy that is trained; takes the gradient.
        advantages: Â; verl repeats a response's advantage for each of its tokens.
        response_mask: where a token counts.
        loss_agg_mode: any of verl's reductions.
        config: the actor's; its `policy_loss` has the thresholds, its `global_batch_info` the normalisers of the whole
            mini-batch, so that micro-batches and ranks add up.
        rollout_is_weights: importance weights of the rollout's policy against the old one, multiplied into the token
            losses; computed under `algorithm.rollout_correction`.

    Returns:
        The loss, and the metrics of `metrics`.

    Raises:
        ValueError: no `config`, or one without the thresholds or with options of another loss; see `boundaries_of`.
    """
    if config is None:
        raise ValueError(f"{LOSS_NAME} takes its thresholds from the actor's configuration: pass config=")
    loss = token_loss(log_prob, old_log_prob, advantages, boundaries_of(config), response_mask)
    if rollout_is_weights is not None:
        loss = loss * rollout_is_weights
    total = agg_loss(loss_mat=loss, loss_mask=response_mask, loss_agg_mode=loss_agg_mode, **config.global_batch_info)
    return total, metrics(log_prob.detach(), old_log_prob, advantages, response_mask, config)


@torch.no_grad()
def metrics(
    log_prob: Tensor, old_log_prob: Tensor, advantages: Tensor, response_mask: Tensor, config: ActorConfig
) -> dict[str, float]:
    """What one micro-batch adds to verl's log: fractions of its response tokens, and the mean log-ratio.

    | metric                           | meaning                                                              |
    |----------------------------------|----------------------------------------------------------------------|
    | `actor/clip_q1` … `actor/clip_q4` | clip events of the quadrant, at 0.2 whichever bounds are trained    |
    | `actor/pg_clipfrac`              | tokens with Â ≠ 0 that the trained bounds clip, in all quadrants     |
    | `actor/ppo_kl`                   | mean of −log r, as verl's own losses have it                         |

    verl takes the mean of these over micro-batches, ranks and mini-batches. (A name with `min` or `max` in it would be
    reduced otherwise.)
    """
    mask = response_mask.bool()
    ratio = importance_ratio(log_prob, old_log_prob, mask)
    events = clip_events(ratio, advantages, mask).counts()
    clipped = clip_events(ratio, advantages, mask, at=boundaries_of(config)).counts().sum()
    divergence = -ratio.log().sum()  # masked positions have ratio 1
    sums = torch.stack([*events, clipped, divergence]) / mask.sum().clamp(min=1)
    names = [*(f"actor/clip_q{quadrant}" for quadrant in (1, 2, 3, 4)), "actor/pg_clipfrac", "actor/ppo_kl"]
    return dict(zip(names, sums.tolist(), strict=True))


def register() -> None:
    """Give verl the loss by its name; nothing where verl has it already.

    Raises:
        RuntimeError: another function has the name. verl's own registration would replace it without a word.
    """
    holder: Any = POLICY_LOSS_REGISTRY.get(LOSS_NAME)
    if holder is abc_grpo:
        return
    if holder is not None:
        raise RuntimeError(
            f"verl has another policy loss of the name {LOSS_NAME!r}: {holder.__module__}.{holder.__qualname__}. It is "
            "not overwritten. Remove one of the two plug-ins, or keep it out with VERL_USE_EXTERNAL_PLUGINS."
        )
    register_policy_loss(LOSS_NAME)(abc_grpo)
