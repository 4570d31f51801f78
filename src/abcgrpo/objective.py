"""Token loss → batch loss: equations 4 to 8 and algorithm 1 of the paper.

Every function is pure. Shapes: B responses of T tokens. `logprobs`, `old_logprobs` and `mask` are (B, T); `advantages`
is (B,), one per response as in GRPO, or (B, T). The arithmetic is float32 for inputs of lower precision, float64 for
float64, and tokens are counted in integers whatever the mask's dtype.

There is one loss function. What differs between GRPO, ABC-GRPO and all others is the clipping rule that it is given.
"""

from typing import Literal

from torch import Tensor

from abcgrpo.rules.abc_grpo import Boundaries
from abcgrpo.rules.rule import Rule
from abcgrpo.tokens import RatioLevel, importance_ratio, masked, per_token, same_shape, token_counts, tokens_of

Reduction = Literal["sequence_mean", "token_mean", "dr_grpo"]

LOSS_TYPES = {"grpo": "sequence_mean", "bnpo": "token_mean", "dapo": "token_mean"}
"""What TRL calls some reductions: `loss_type`."""


def clipped_ratio(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    bounds: Boundaries,
    mask: Tensor | None = None,
    level: RatioLevel = "token",
) -> Tensor:
    """r̃, the ratio within four bounds (eq. 5 and 8); see `Boundaries.clip`; (B, T).

    Raises:
        ValueError: shapes that do not fit; see `importance_ratio`.
    """
    ratio = importance_ratio(logprobs, old_logprobs, mask, level)
    return bounds.clip(ratio, per_token(advantages, ratio))


def token_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    rule: Rule,
    mask: Tensor | None = None,
    level: RatioLevel | None = None,
) -> Tensor:
    """−surrogate of each token under `rule`; with `Boundaries` −r̃·Â (algorithm 1, line 9); (B, T).

    Its gradient in `logprobs` is −Â·w, where w is the rule's weight. With `Boundaries` w is r inside the bounds and 0
    outside (eq. 12, 13), so that with the paper's settings it is at most A_max·(1 + max(ε1, ε3)) in absolute value
    (eq. 16). Masked positions give 0. `level` is the rule's own unless it is given.

    Raises:
        ValueError: `rule` is not a rule, or shapes that do not fit; see `importance_ratio`.
    """
    if not isinstance(rule, Rule):
        raise ValueError(
            f"rule must be a clipping rule, such as Boundaries() or Boundaries.grpo(eps=0.2), got {rule!r}. A rule by "
            f"its name: abcgrpo.rules.resolve_rule('grpo')."
        )
    tokens = tokens_of(logprobs, old_logprobs, advantages, mask, level or rule.level)
    return masked(-rule.surrogate(tokens), mask)


def aggregate(
    loss: Tensor,
    mask: Tensor,
    reduction: Reduction = "sequence_mean",
    *,
    max_length: int | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """One number from the losses of all tokens.

    - "sequence_mean" (eq. 6): mean over the tokens of a response, then mean over responses. A response without tokens
      counts as one of loss 0.
    - "token_mean" (DAPO): mean over all tokens of the batch.
    - "dr_grpo" (arXiv 2503.20783): sum over tokens ÷ `max_length`, then mean over responses.

    A batch may be cut into micro-batches or spread over ranks: pass the whole batch's count as `normalizer`, and the
    parts add up to the whole, in value and gradient.

    Args:
        loss: (B, T).
        mask: (B, T), 1 or True where a token counts. Elsewhere `loss` may hold anything, NaN included.
        reduction: which of the three.
        max_length: the constant length of "dr_grpo", in tokens; needed there and refused elsewhere.
        normalizer: what the outer mean divides by: a number of responses ("sequence_mean", "dr_grpo") or of tokens
            ("token_mean"). Default: this batch's own.

    Raises:
        ValueError: shapes that differ, an unknown reduction, `max_length` missing or out of place.
    """
    same_shape(loss=loss, mask=mask)
    if (reduction == "dr_grpo") != (max_length is not None):
        raise ValueError(
            f'max_length goes with reduction="dr_grpo", and only with it; got {max_length!r}, {reduction!r}'
        )
    summed = masked(loss, mask).sum(-1)
    tokens = token_counts(mask)
    if reduction == "sequence_mean":
        per_response, count = summed / tokens.clamp(min=1), max(len(loss), 1)
    elif reduction == "token_mean":
        per_response, count = summed, tokens.sum().clamp(min=1)
    elif reduction == "dr_grpo" and max_length is not None:
        per_response, count = summed / max_length, max(len(loss), 1)
    else:
        hint = f'. TRL\'s loss_type={reduction!r} is "{LOSS_TYPES[reduction]}" here' if reduction in LOSS_TYPES else ""
        raise ValueError(f'reduction must be "sequence_mean", "token_mean" or "dr_grpo", got {reduction!r}{hint}')
    return per_response.sum() / (count if normalizer is None else normalizer)


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    rule: Rule,
    reduction: Reduction = "sequence_mean",
    *,
    level: RatioLevel | None = None,
    max_length: int | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """The loss of a batch under a clipping rule: `aggregate(token_loss(…), …)`; a scalar, float32 or float64.

    With `Boundaries()` it is ABC-GRPO's (eq. 6, algorithm 1), with `Boundaries.grpo(ε)` GRPO's (eq. 4). Finite, with
    finite gradients, for every finite log-prob and advantage; an empty mask gives 0. `level` is the rule's own unless
    it is given.

    Raises:
        ValueError: see `importance_ratio` and `aggregate`.
    """
    loss = token_loss(logprobs, old_logprobs, advantages, rule, mask, level)
    return aggregate(loss, mask, reduction, max_length=max_length, normalizer=normalizer)
