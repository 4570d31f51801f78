"""The four thresholds of ABC-GRPO: the rule `abc_grpo`, and the known rules that are settings of it."""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from abcgrpo.rules.parameter import parameter
from abcgrpo.rules.rule import Rule
from abcgrpo.tokens import LOG_RATIO_LIMIT, Tokens

INF = math.inf


@dataclass(frozen=True)
class Boundaries(Rule):
    """Clipping thresholds of the importance ratio r, one for each quadrant of (r, Â) (paper, section 4.2, eq. 5).

    The ratio is clipped to [1 − eps_pos_low, 1 + eps_pos_high] where Â > 0 and to
    [1 − eps_neg_low, 1 + eps_neg_high] where Â ≤ 0. `inf` opens a bound; so does a lower threshold ≥ 1, since r > 0.

    w = r inside the bounds, 0 outside (eq. 12, 13).

    The paper numbers thresholds and quadrants differently: ε3 bounds Q4, ε4 bounds Q3.

    Raises:
        ValueError: a threshold that is negative or not a number; the message names the field.
    """

    name = "abc_grpo"
    eps_pos_high: float = parameter(0.2)
    """ε1, quadrant Q1 (Â > 0, r > 1): no reward for raising a good token's probability beyond this."""
    eps_pos_low: float = parameter(0.2)
    """ε2, quadrant Q2 (Â > 0, r < 1). The one bound that GRPO, clip-higher, dual-clip and two-sided leave open."""
    eps_neg_high: float = parameter(0.2)
    """ε3, quadrant Q4 (Â ≤ 0, r > 1): the bound on how hard a likely token of a failed response is pushed down."""
    eps_neg_low: float = parameter(0.2)
    """ε4, quadrant Q3 (Â ≤ 0, r < 1): no reward for lowering a bad token's probability beyond this."""

    @classmethod
    def uniform(cls, eps: float) -> Self:
        """The same threshold on every side; the paper's experiments use 0.2."""
        return cls(eps, eps, eps, eps)

    @classmethod
    def grpo(cls, eps: float = 0.2) -> Self:
        """GRPO and PPO-clip (eq. 4): −min(r·Â, clip(r, 1−ε, 1+ε)·Â)."""
        return cls.clip_higher(eps, eps)

    @classmethod
    def clip_higher(cls, low: float = 0.2, high: float = 0.28) -> Self:
        """DAPO's clip-higher (arXiv 2503.14476): GRPO with unequal thresholds."""
        return cls(eps_pos_high=high, eps_pos_low=INF, eps_neg_high=INF, eps_neg_low=low)

    @classmethod
    def dual_clip(cls, eps: float = 0.2, c: float = 3.0) -> Self:
        """Dual-clip PPO (arXiv 1912.09729): where Â < 0, the loss is at most c·|Â|, so r at most c.

        Raises:
            ValueError: c ≤ 1, which would clip inside the trust region.
        """
        if not c > 1:
            raise ValueError(f"c must be above 1, got {c!r}")
        return cls(eps_pos_high=eps, eps_pos_low=INF, eps_neg_high=c - 1, eps_neg_low=eps)

    @classmethod
    def two_sided(cls, eps: float = 0.2, delta: float = 4.0) -> Self:
        """INTELLECT-2's two-sided clipping (arXiv 2505.07291): dual-clip, its second bound called δ.

        Raises:
            ValueError: delta ≤ 1 + eps, which the rule's own paper excludes.
        """
        if not delta > 1 + eps:
            raise ValueError(f"delta must be above 1 + eps = {1 + eps:g}, got {delta!r}")
        return cls.dual_clip(eps, delta)

    def clip(self, ratio: Tensor, advantages: Tensor) -> Tensor:
        """r̃ = clip(r, 1−ε2, 1+ε1) where Â > 0, clip(r, 1−ε4, 1+ε3) where Â ≤ 0 (eq. 5 and 8); all (B, T).

        There is no `min` against the unclipped ratio: an open bound (`inf`) plays its part.
        """
        low, high = self._limits(ratio, advantages)
        return ratio.clamp(low, high)

    def surrogate(self, tokens: Tokens) -> Tensor:
        """r̃·Â (algorithm 1, line 9). w = r inside the bounds and 0 outside (eq. 12, 13)."""
        return self.clip(tokens.ratio, tokens.advantages) * tokens.advantages

    def weight(self, tokens: Tokens) -> Tensor:
        """w: r inside the bounds, 0 outside; r where Â = 0."""
        if tokens.level != "token":
            return super().weight(tokens)  # a token's gradient has a part in the whole response's ratio
        ratio = tokens.ratio.detach()
        low, high = self._limits(ratio, tokens.advantages)
        moved = (tokens.logprobs - tokens.old_logprobs).detach().abs() > LOG_RATIO_LIMIT
        dropped = (ratio < low) | (ratio > high) | moved
        return torch.where(dropped & (tokens.advantages != 0), 0.0, ratio)

    @property
    def largest_weight(self) -> float:
        """1 + max(ε1, ε3) (eq. 16)."""
        return 1 + max(self.eps_pos_high, self.eps_neg_high)

    def _limits(self, ratio: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
        positive = advantages > 0
        low = torch.where(positive, 1 - self.eps_pos_low, 1 - self.eps_neg_low).to(ratio)
        high = torch.where(positive, 1 + self.eps_pos_high, 1 + self.eps_neg_high).to(ratio)
        return low, high
