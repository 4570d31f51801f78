"""Adaptive-Boundary-Clipping GRPO (arXiv 2601.03895): the objective and nothing else.

Engines, grading, evaluation and reports are sub-packages; none is loaded from here, and the names below are resolved
on first use, so that `import abcgrpo.report` does not pay for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOME_OF = {
    "Boundaries": "rules.abc_grpo",
    "Rule": "rules",
    "Tokens": "tokens",
    "aggregate": "objective",
    "clip_events": "quadrants",
    "clip_shares": "event_shares",
    "clipped_ratio": "objective",
    "group_advantages": "advantages",
    "importance_ratio": "tokens",
    "policy_loss": "objective",
    "resolve_rule": "rules",
    "token_loss": "objective",
}

__all__ = [
    "Boundaries",
    "Rule",
    "Tokens",
    "aggregate",
    "clip_events",
    "clip_shares",
    "clipped_ratio",
    "group_advantages",
    "importance_ratio",
    "policy_loss",
    "resolve_rule",
    "token_loss",
]

if TYPE_CHECKING:
    from abcgrpo.advantages import group_advantages
    from abcgrpo.event_shares import clip_shares
    from abcgrpo.objective import aggregate, clipped_ratio, policy_loss, token_loss
    from abcgrpo.quadrants import clip_events
    from abcgrpo.rules import Rule, resolve_rule
    from abcgrpo.rules.abc_grpo import Boundaries
    from abcgrpo.tokens import Tokens, importance_ratio


def __getattr__(name: str):
    if name not in _HOME_OF:
        raise AttributeError(f"module 'abcgrpo' has no attribute {name!r}")
    return getattr(import_module(f"abcgrpo.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
