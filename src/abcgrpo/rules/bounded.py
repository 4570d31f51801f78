"""Rules that are four bounds of the importance ratio."""

from torch import Tensor

from abcgrpo.rules.abc_grpo import Boundaries
from abcgrpo.rules.rule import Rule
from abcgrpo.tokens import Tokens


class BoundedRule(Rule):
    """A rule that is a setting of `Boundaries`: its parameters are those of its own paper."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.boundaries  # refuses parameters that do not go together

    @property
    def boundaries(self) -> Boundaries:
        """The four thresholds that the parameters stand for."""
        raise NotImplementedError

    @property
    def largest_weight(self) -> float:
        """1 + the larger of the two upper bounds."""
        return self.boundaries.largest_weight

    def surrogate(self, tokens: Tokens) -> Tensor:
        """clip(r)·Â within the four bounds."""
        return self.boundaries.surrogate(tokens)

    def weight(self, tokens: Tokens) -> Tensor:
        """w: r inside the four bounds, 0 outside."""
        return self.boundaries.weight(tokens)
