"""Ratio → clipped ratio → token loss → batch loss: equations 4 to 8 and algorithm 1 of the paper.

Every function is pure. Shapes: B responses of T tokens. `logprobs`, `old_logprobs` and `mask` are (B, T); `advantages`
is (B,), one per response as in GRPO, or (B, T). The arithmetic is float32 whatever the inputs' dtype.

GRPO, clip-higher, dual-clip and two-sided clipping are settings of `Boundaries`; there is no second loss function.
"""

from typing import Literal

import torch
from torch import Tensor

from abcgrpo.boundaries import Boundaries

Reduction = Literal["sequence_mean", "token_mean", "dr_grpo"]
RatioLevel = Literal["token", "sequence"]

LOG_RATIO_LIMIT = 20.0
"""|log r| is cut here, so that an open bound cannot give inf in the forward pass and inf·0 = NaN in the backward one.
exp(20) ≈ 4.9e8: only tokens whose probability changed by that factor in one update notice, and their gradient is 0."""


def importance_ratio(
    logprobs: Tensor, old_logprobs: Tensor, mask: Tensor | None = None, level: RatioLevel = "token"
) -> Tensor:
    """r = exp(logprob − old logprob), new policy over old; (B, T), float32, differentiable in `logprobs`.

    level="token": one ratio per token (GRPO). level="sequence": the geometric mean over a response's unmasked tokens,
    repeated for each of them (GSPO, arXiv 2507.18071). Masked positions may hold anything, NaN included: their ratio
    is 1 (token level) and they take no gradient.

    Raises:
        ValueError: shapes that differ, an unknown level, or level="sequence" without a mask.
    """
    _same_shape(logprobs=logprobs, old_logprobs=old_logprobs, **({} if mask is None else {"mask": mask}))
    log_ratio = _masked(logprobs, mask) - _masked(old_logprobs, mask)
    if level == "sequence":
        if mask is None:
            raise ValueError('level="sequence" averages over the tokens of a response and needs a mask')
        tokens = mask.sum(-1, keepdim=True).clamp(min=1)
        log_ratio = (log_ratio.sum(-1, keepdim=True) / tokens).expand_as(log_ratio)
    elif level != "token":
        raise ValueError(f'level must be "token" or "sequence", got {level!r}')
    return log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def clipped_ratio(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    bounds: Boundaries,
    mask: Tensor | None = None,
    level: RatioLevel = "token",
) -> Tensor:
    """r̃ = clip(r, 1−ε2, 1+ε1) where Â > 0, clip(r, 1−ε4, 1+ε3) where Â ≤ 0 (eq. 5 and 8); (B, T).

    There is no `min` against the unclipped ratio: an open bound (`inf`) plays its part.

    Raises:
        ValueError: shapes that do not fit; see `importance_ratio`.
    """
    ratio = importance_ratio(logprobs, old_logprobs, mask, level)
    positive = per_token(advantages, ratio) > 0
    low = torch.where(positive, 1 - bounds.eps_pos_low, 1 - bounds.eps_neg_low).to(ratio)
    high = torch.where(positive, 1 + bounds.eps_pos_high, 1 + bounds.eps_neg_high).to(ratio)
    return ratio.clamp(low, high)


def token_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    bounds: Boundaries,
    mask: Tensor | None = None,
    level: RatioLevel = "token",
) -> Tensor:
    """−r̃·Â for each token (algorithm 1, line 9); (B, T).

    Its gradient in `logprobs` is −Â·r inside the bounds and 0 outside (eq. 12, 13), so that with the paper's settings
    it is at most A_max·(1 + max(ε1, ε3)) in absolute value (eq. 16). Masked positions give 0.

    Raises:
        ValueError: shapes that do not fit; see `importance_ratio`.
    """
    ratio = clipped_ratio(logprobs, old_logprobs, advantages, bounds, mask, level)
    return -ratio * _masked(per_token(advantages, ratio), mask)


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
    _same_shape(loss=loss, mask=mask)
    if (reduction == "dr_grpo") != (max_length is not None):
        raise ValueError(
            f'max_length goes with reduction="dr_grpo", and only with it; got {max_length!r}, {reduction!r}'
        )
    summed = _masked(loss, mask).sum(-1)
    tokens = mask.sum(-1)
    if reduction == "sequence_mean":
        per_response, count = summed / tokens.clamp(min=1), max(len(loss), 1)
    elif reduction == "token_mean":
        per_response, count = summed, tokens.sum().clamp(min=1)
    elif reduction == "dr_grpo" and max_length is not None:
        per_response, count = summed / max_length, max(len(loss), 1)
    else:
        raise ValueError(f'reduction must be "sequence_mean", "token_mean" or "dr_grpo", got {reduction!r}')
    return per_response.sum() / (count if normalizer is None else normalizer)


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    bounds: Boundaries,
    reduction: Reduction = "sequence_mean",
    *,
    level: RatioLevel = "token",
    max_length: int | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """The ABC-GRPO loss of a batch (eq. 6, algorithm 1): `aggregate(token_loss(…), …)`; a float32 scalar.

    With `Boundaries.grpo(ε)` it is GRPO's loss (eq. 4). Finite, with finite gradients, for every finite log-prob and
    advantage; an empty mask gives 0.

    Raises:
        ValueError: see `importance_ratio` and `aggregate`.
    """
    loss = token_loss(logprobs, old_logprobs, advantages, bounds, mask, level)
    return aggregate(loss, mask, reduction, max_length=max_length, normalizer=normalizer)


def per_token(advantages: Tensor, like: Tensor) -> Tensor:
    """Advantages of shape (B,), (B, 1) or (B, T) as float32 of the shape (B, T) of `like`.

    Raises:
        ValueError: any other shape.
    """
    column = advantages.unsqueeze(-1) if advantages.dim() == 1 else advantages
    if column.dim() != 2 or column.shape[0] != like.shape[0] or column.shape[1] not in (1, like.shape[1]):
        raise ValueError(
            f"advantages must be (B,) or (B, T) with (B, T) = {tuple(like.shape)}, got {tuple(advantages.shape)}"
        )
    return column.float().expand_as(like)


def _masked(values: Tensor, mask: Tensor | None) -> Tensor:
    """`values` as float32 with 0 at masked positions; selecting, not multiplying, keeps NaN and its gradient out."""
    values = values.float()
    return values if mask is None else torch.where(mask.bool(), values, 0.0)


def _same_shape(**tensors: Tensor) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 2 for shape in shapes.values()):
        raise ValueError(f"expected tensors of one shape (B, T), got {shapes}")
