"""The known rules, a line each, and the function that makes one from its name."""

from collections.abc import Mapping
from typing import Any

from abcgrpo.named import make
from abcgrpo.rules.rule import Rule

RULES = {
    "open": "abcgrpo.rules.open:Open",
    "grpo": "abcgrpo.rules.grpo:GRPO",
    "abc_grpo": "abcgrpo.boundaries:Boundaries",
}
"""Name → import path. A rule of one's own needs no line here."""


def resolve_rule(given: Rule | str | Mapping[str, Any], where: str = "rule") -> Rule:
    """A rule from what a user writes.

    - `"grpo"`: a known rule with its defaults.
    - `{"name": "clip_higher", "high": 0.28}`: with parameters.
    - `"my_rules.Mine"` or `{"name": "my_rules.Mine", …}`: one's own, by its import path.
    - a `Rule`: itself.

    Args:
        given: one of these.
        where: where it stands, for errors: "arm GRPO".

    Raises:
        UserError: an unknown name or parameter (the nearest known one is suggested), a value that does not fit, or an
            import path that leads to no rule.
    """
    return make(given, RULES, Rule, "clipping rule", where)
