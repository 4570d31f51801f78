"""TOPR: tapered importance sampling where the advantage is negative, none where it is positive."""

from dataclasses import dataclass

from abcgrpo.rules.weighted import Gate, GatedRule
from abcgrpo.tokens import Tokens


@dataclass(frozen=True)
class TOPR(GatedRule):
    """w = 1 where Â > 0, min(r, 1) where Â < 0; the loss is −w·Â·logπ (arXiv 2503.14286).

    The paper tapers the ratio of a whole response; here, as in the libraries that have it, each token's. Its baseline
    is the group's mean reward, by which this package's advantages are formed already.
    """

    name = "topr"

    @property
    def largest_weight(self) -> float:
        """1."""
        return 1.0

    def positive(self, tokens: Tokens) -> Gate:
        """1, whatever the ratio."""
        return Gate(1, 1, below=1, above=1)

    def negative(self, tokens: Tokens) -> Gate:
        """At most 1."""
        return Gate(high=1, above=1)
