"""What a clipping rule is: `Rule`, and `AdaptiveRule` for one whose thresholds move during training."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from abcgrpo.named import Named
from abcgrpo.rules.parameter import check_parameters
from abcgrpo.tokens import RatioLevel, Tokens, importance_ratio


class Rule(Named):
    """What a token's policy gradient weighs: ∂loss/∂logπ = −Â·w(r, p_old, sign Â, …).

    w = r where a rule leaves a token alone.

    A rule is a dataclass (frozen, unless it adapts) whose fields are its parameters, each with a default, and one
    method, `surrogate`. Everything else follows from these: the loss, the weight w, curves, records. Parameters that
    are declared with `abcgrpo.rules.parameter` are checked.

    Raises:
        ValueError: a parameter that does not fit; the message names it.
    """

    level: ClassVar[RatioLevel] = "token"
    """The ratio that `surrogate` is given: one per token, or the geometric mean of the response ("sequence")."""
    zero_advantage_is_silent: ClassVar[bool] = True
    """Whether a response with Â = 0 at every token has no gradient, so that the fast update may skip it."""
    spans: ClassVar[str] = "response"
    """How far a token's surrogate looks: at its own response at most ("response"), or at the tokens of the whole batch
    ("batch"). The second depends on how an optimizer step is cut into micro-batches."""

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def largest_weight(self) -> float:
        """What w never exceeds: |∂loss/∂logπ| ≤ A_max times this (paper, eq. 16). `inf`: the rule has no such bound."""
        return math.inf

    def surrogate(self, tokens: Tokens) -> Tensor:
        """What is maximized, per token; (B, T). The token loss is its negative. Masked positions may hold anything
        finite."""
        raise NotImplementedError(f"{type(self).__name__} has no method `surrogate`: write it")

    def weight(self, tokens: Tokens) -> Tensor:
        """w = (∂ Σ surrogate/∂logπ) / Â at each token; (B, T), without gradient. r where Â = 0.

        Computed from `surrogate` itself, so that the two cannot disagree; a rule that knows its weight may say it. It
        is meant for measurements and curves: training takes the gradient of `surrogate`.
        """
        with torch.enable_grad():
            logprobs = tokens.logprobs.detach().clone().requires_grad_()
            ratio = importance_ratio(logprobs, tokens.old_logprobs, tokens.mask, tokens.level)
            given = tokens._replace(logprobs=logprobs, ratio=ratio, advantages=tokens.advantages.detach())
            surrogate = torch.where(tokens.mask, self.surrogate(given), 0.0)
            (gradient,) = torch.autograd.grad(surrogate.sum(), logprobs)
        silent = given.advantages == 0
        return torch.where(silent, ratio.detach(), gradient / torch.where(silent, 1.0, given.advantages))


class AdaptiveRule(Rule):
    """A rule whose thresholds set themselves: once per optimizer step, from sums over all of its tokens.

    The trainer adds what `measure` returns over micro-batches and ranks, and calls `update` with the sums after the
    optimizer's step. The state is saved and restored with the run.
    """

    def measure(self, tokens: Tokens) -> dict[str, Tensor]:
        """Sums over the unmasked tokens of a micro-batch, by name; without gradient. They are added, never averaged."""
        raise NotImplementedError

    def update(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Move the thresholds, given the sums of one optimizer step over all micro-batches and ranks.

        Returns what is logged as `rule/<name>`: the thresholds that the next step uses.
        """
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """What moves, as plain numbers and lists."""
        raise NotImplementedError

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        raise NotImplementedError

    def copy(self) -> Self:
        """A rule with the same parameters and the state of the beginning."""
        return type(self)(**{field.name: getattr(self, field.name) for field in fields(self) if field.init})  # type: ignore[arg-type]
