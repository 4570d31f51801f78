"""DPPO with the total variation of "this token or another" as its trust region."""

from dataclasses import dataclass

from torch import Tensor

from abcgrpo.rules.parameter import parameter
from abcgrpo.rules.weighted import Gate, GatedRule
from abcgrpo.tokens import Tokens


@dataclass(frozen=True)
class DPPOTV(GatedRule):
    """w = 0 where Â > 0 and π − π_old > δ (Q1) or Â < 0 and π_old − π > δ (Q3); min(r, cap) elsewhere (DPPO-Binary-TV,
    arXiv 2602.04879).

    As bounds of the ratio: r ≤ 1 + δ/π_old in Q1, r ≥ 1 − δ/π_old in Q3. verl's loss `dppo_tv` has this form with δ
    in `clip_ratio`; its `clip_ratio_c` is the cap, which is documented as 20 and is 3 unless it is set.
    """

    name = "dppo_tv"
    delta: float = parameter(0.2)
    """δ, a probability."""
    cap: float = parameter(20.0, at_least=1.0)
    """The largest weight; a larger ratio is held there. `inf`: none."""

    @property
    def largest_weight(self) -> float:
        """`cap`."""
        return self.cap

    def positive(self, tokens: Tokens) -> Gate:
        """Q1."""
        return Gate(high=1 + self.delta / tokens.old_probabilities)

    def negative(self, tokens: Tokens) -> Gate:
        """Q3."""
        return Gate(low=1 - self.delta / tokens.old_probabilities)

    def held_weight(self, tokens: Tokens) -> Tensor:
        """The gate's weight, at most `cap`."""
        return super().held_weight(tokens).clamp(max=self.cap)
