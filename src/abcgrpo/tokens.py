"""Log-probs → importance ratio, and what a clipping rule sees of a batch: `Tokens`.

Shapes: B responses of T tokens. `logprobs`, `old_logprobs` and `mask` are (B, T); `advantages` is (B,), one per
response as in GRPO, or (B, T). The arithmetic is float32, and float64 where log-probs are float64.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

RatioLevel = Literal["token", "sequence"]

LOG_RATIO_LIMIT = 20.0
"""|log r| is cut here, so that an open bound cannot give inf in the forward pass and inf·0 = NaN in the backward one.
exp(20) ≈ 4.9e8: only tokens whose probability changed by that factor in one update notice, and their gradient is 0."""


class Tokens(NamedTuple):
    """A batch as a clipping rule sees it; all (B, T), float32 or float64.

    Masked positions hold log-probs 0, ratio 1 and advantage 0, whatever the caller's tensors held there.
    """

    logprobs: Tensor
    """log π of the policy that is trained; takes the gradient."""
    old_logprobs: Tensor
    """log π_old of the policy that the ratio is taken against; no gradient."""
    ratio: Tensor
    """r = π/π_old at the rule's level, differentiable in `logprobs`; |log r| is cut at `LOG_RATIO_LIMIT`."""
    advantages: Tensor
    """Â."""
    mask: Tensor
    """True where a token counts; bool."""
    level: RatioLevel = "token"
    """What `ratio` is: one per token, or the geometric mean of the response."""

    @property
    def old_probabilities(self) -> Tensor:
        """p_old = exp(old log-prob), at most 1."""
        return self.old_logprobs.exp().clamp(max=1)


def tokens_of(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor | None = None,
    level: RatioLevel = "token",
) -> Tokens:
    """`Tokens` of a batch; without a mask every token counts.

    Raises:
        ValueError: shapes that do not fit; see `importance_ratio` and `per_token`.
    """
    ratio = importance_ratio(logprobs, old_logprobs, mask, level)
    chosen = torch.ones_like(ratio, dtype=torch.bool) if mask is None else mask.bool()
    return Tokens(
        masked(logprobs, mask).to(ratio.dtype),
        masked(old_logprobs, mask).detach().to(ratio.dtype),
        ratio,
        masked(per_token(advantages, ratio), mask),
        chosen,
        level,
    )


def importance_ratio(
    logprobs: Tensor, old_logprobs: Tensor, mask: Tensor | None = None, level: RatioLevel = "token"
) -> Tensor:
    """r = exp(logprob − old logprob), new policy over old; (B, T), differentiable in `logprobs`.

    level="token": one ratio per token (GRPO). level="sequence": the geometric mean over a response's unmasked tokens,
    repeated for each of them (GSPO, arXiv 2507.18071). Masked positions may hold anything, NaN included: their ratio
    is 1 (token level) and they take no gradient.

    Raises:
        ValueError: shapes that differ, an unknown level, or level="sequence" without a mask.
    """
    same_shape(logprobs=logprobs, old_logprobs=old_logprobs, **({} if mask is None else {"mask": mask}))
    log_ratio = masked(logprobs, mask) - masked(old_logprobs, mask)
    if level == "sequence":
        if mask is None:
            raise ValueError('level="sequence" averages over the tokens of a response and needs a mask')
        log_ratio = (log_ratio.sum(-1, keepdim=True) / token_counts(mask).clamp(min=1)[:, None]).expand_as(log_ratio)
    elif level != "token":
        raise ValueError(f'level must be "token" or "sequence", got {level!r}')
    return log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def per_token(advantages: Tensor, like: Tensor) -> Tensor:
    """Advantages of shape (B,), (B, 1) or (B, T) in the shape (B, T) and dtype of `like`.

    Raises:
        ValueError: any other shape, or no tensor.
    """
    if not isinstance(advantages, Tensor):
        raise ValueError(f"advantages must be a tensor, got {type(advantages).__name__}: torch.tensor(advantages)")
    column = advantages.unsqueeze(-1) if advantages.dim() == 1 else advantages
    if column.dim() != 2 or column.shape[0] != like.shape[0] or column.shape[1] not in (1, like.shape[1]):
        raise ValueError(
            f"advantages must be (B,) or (B, T) with (B, T) = {tuple(like.shape)}, got {tuple(advantages.shape)}"
        )
    return column.to(like.dtype).expand_as(like)


def token_counts(mask: Tensor) -> Tensor:
    """Unmasked tokens of each response; (B,), int64. (A half-precision mask would lose counts if it were summed.)"""
    return mask.bool().sum(-1)


def masked(values: Tensor, mask: Tensor | None) -> Tensor:
    """`values` as float32 (float64 stays) with 0 at masked positions.

    Selecting, not multiplying, keeps NaN and its gradient out.
    """
    values = values if values.dtype == torch.float64 else values.float()
    return values if mask is None else torch.where(mask.bool(), values, 0.0)


def same_shape(**tensors: Tensor) -> None:
    """Refuse tensors that are not of one shape (B, T).

    Raises:
        ValueError: shapes that differ or are not two-dimensional, or something that is no tensor.
    """
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{name} must be a tensor of shape (B, T), got {type(tensor).__name__}")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 2 for shape in shapes.values()):
        raise ValueError(f"expected tensors of one shape (B, T), got {shapes}")
