"""BAPO: bounds that open until positive and negative tokens are in balance."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from abcgrpo.rules.abc_grpo import INF, Boundaries
from abcgrpo.rules.parameter import parameter
from abcgrpo.rules.rule import AdaptiveRule
from abcgrpo.tokens import Tokens


@dataclass
class BAPO(AdaptiveRule):
    """min(r·Â, clip(r, low, high)·Â), at least c·Â where Â < 0 (dual clip); low and high are searched for (arXiv
    2510.18927).

    w = 0 where Â > 0 and r > high (Q1), Â < 0 and r < low (Q3), or Â < 0 and r > c (Q4); r elsewhere. The search, anew
    for every optimizer step: from `low_start` and `high_start`, while the positive tokens' share of the surrogate,
    Σ⁺ min(r, high)·Â / (Σ⁺ min(r, high)·Â + Σ⁻ max(r, low)·|Â|), is below `share`, raise low by `step` up to its
    maximum, then high. The maxima are those of the authors' code (their text has 0.9 and 3.0), and so is the share,
    which their code writes as a ratio of 1 between the two sums. (A higher `low` itself raises the negative sum, since
    a clipped token counts as its bound: what it changes is the gradient.)

    The authors search on the micro-batch that is clipped. Here the sums are those of a whole optimizer step, over
    micro-batches and ranks, and are complete after its last micro-batch: so the bounds that they give are those of the
    next step. Steps in which no ratio has moved (the first of a rollout) leave the bounds as they are.
    """

    name = "bapo"
    low_start: float = parameter(0.6, finite=True)
    """The lower bound of r at the beginning of a search."""
    low_max: float = parameter(0.8, finite=True)
    """The highest lower bound."""
    high_start: float = parameter(1.2, above=1.0, finite=True)
    """The upper bound of r at the beginning of a search."""
    high_max: float = parameter(2.0, above=1.0, finite=True)
    """The highest upper bound."""
    step: float = parameter(0.05, above=0.0, finite=True)
    """By how much a bound is raised at a time."""
    share: float = parameter(0.5, finite=True)
    """ρ0, the positive tokens' share that ends the search."""
    c: float = parameter(3.0, above=1.0)
    """The largest ratio where Â < 0."""
    low: float = field(init=False, repr=False, compare=False)
    """The lower bound as it is now."""
    high: float = field(init=False, repr=False, compare=False)
    """The upper bound as it is now."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low_start <= self.low_max <= 1:
            raise ValueError(f"low_max must lie between low_start = {self.low_start:g} and 1, got {self.low_max:g}")
        if self.high_max < self.high_start:
            raise ValueError(f"high_max must be at least high_start = {self.high_start:g}, got {self.high_max:g}")
        if self.share > 1:
            raise ValueError(f"share must be from 0 to 1, got {self.share:g}")
        self.low, self.high = self.low_start, self.high_start

    @property
    def largest_weight(self) -> float:
        """The larger of `high_max` and c."""
        return max(self.high_max, self.c)

    def surrogate(self, tokens: Tokens) -> Tensor:
        """clip(r)·Â within the bounds as they are now."""
        bounds = Boundaries(self.high - 1, INF, self.c - 1, 1 - self.low)
        return bounds.surrogate(tokens)

    @torch.no_grad()
    def measure(self, tokens: Tokens) -> dict[str, Tensor]:
        """`positive`, `negative`: the two sums at every bound of a search. `moved`: ratios that are not 1."""
        ratio, advantages = tokens.ratio.double(), tokens.advantages.double()
        good, bad = advantages.clamp(min=0), -advantages.clamp(max=0)
        return {
            "positive": torch.stack([(ratio.clamp(max=high) * good).sum() for high in self._highs]),
            "negative": torch.stack([(ratio.clamp(min=low) * bad).sum() for low in self._lows]),
            "moved": ((ratio != 1) & tokens.mask).sum().double(),
        }

    def update(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Search; returns both bounds."""
        if sums["moved"] > 0:
            positive, negative = sums["positive"].tolist(), sums["negative"].tolist()
            low = high = 0
            while self._unbalanced(positive[high], negative[low]) and low + 1 < len(negative):
                low += 1
            while self._unbalanced(positive[high], negative[low]) and high + 1 < len(positive):
                high += 1
            self.low, self.high = self._lows[low], self._highs[high]
        return self.state_dict()

    def state_dict(self) -> dict[str, float]:
        """The two bounds."""
        return {"low": self.low, "high": self.high}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the two bounds."""
        self.low, self.high = state["low"], state["high"]

    def _unbalanced(self, positive: float, negative: float) -> bool:
        return positive < self.share * (positive + negative)

    @property
    def _lows(self) -> list[float]:
        return _steps(self.low_start, self.low_max, self.step)

    @property
    def _highs(self) -> list[float]:
        return _steps(self.high_start, self.high_max, self.step)


def _steps(start: float, end: float, step: float) -> list[float]:
    """start, start + step, … and end itself."""
    count = round((end - start) / step + 0.499999)
    return [round(start + index * step, 12) for index in range(count)] + [end]
