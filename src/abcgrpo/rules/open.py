"""No clipping: the control that shows whether clipping matters."""

from dataclasses import dataclass

from abcgrpo.rules.abc_grpo import INF, Boundaries
from abcgrpo.rules.bounded import BoundedRule


@dataclass(frozen=True)
class Open(BoundedRule):
    """r·Â, unclipped: w = r everywhere (importance sampling without a trust region). A control."""

    name = "open"

    @property
    def boundaries(self) -> Boundaries:
        """Four open bounds."""
        return Boundaries.uniform(INF)
