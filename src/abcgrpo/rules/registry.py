"""The known rules, a line each, and the function that makes one from its name."""

from collections.abc import Mapping
from typing import Any

from abcgrpo.named import make
from abcgrpo.rules.rule import Rule

RULES = {
    "open": "abcgrpo.rules.open:Open",
    "grpo": "abcgrpo.rules.grpo:GRPO",
    "clip_higher": "abcgrpo.rules.clip_higher:ClipHigher",
    "dual_clip": "abcgrpo.rules.dual_clip:DualClip",
    "two_sided": "abcgrpo.rules.two_sided:TwoSided",
    "abc_grpo": "abcgrpo.rules.abc_grpo:Boundaries",
    "only_q1": "abcgrpo.rules.only_one_quadrant:OnlyQ1",
    "only_q2": "abcgrpo.rules.only_one_quadrant:OnlyQ2",
    "only_q3": "abcgrpo.rules.only_one_quadrant:OnlyQ3",
    "only_q4": "abcgrpo.rules.only_one_quadrant:OnlyQ4",
    "gspo": "abcgrpo.rules.gspo:GSPO",
    "gmpo": "abcgrpo.rules.gmpo:GMPO",
    "dppo_tv": "abcgrpo.rules.dppo_tv:DPPOTV",
    "dppo_kl": "abcgrpo.rules.dppo_kl:DPPOKL",
    "abc_probability": "abcgrpo.rules.abc_probability:ABCProbability",
    "dcpo": "abcgrpo.rules.dcpo:DCPO",
    "m2po": "abcgrpo.rules.m2po:M2PO",
    "cispo": "abcgrpo.rules.cispo:CISPO",
    "ce_gppo": "abcgrpo.rules.ce_gppo:CEGPPO",
    "topr": "abcgrpo.rules.topr:TOPR",
    "sapo": "abcgrpo.rules.sapo:SAPO",
    "spo": "abcgrpo.rules.spo:SPO",
    "self_tuned": "abcgrpo.rules.self_tuned:SelfTuned",
    "bapo": "abcgrpo.rules.bapo:BAPO",
}
"""Name → import path. A rule of your own needs no line here."""


def resolve_rule(given: Rule | str | Mapping[str, Any], where: str = "rule") -> Rule:
    """A rule from what a user writes.

    - `"grpo"`: a known rule with its defaults.
    - `{"name": "clip_higher", "high": 0.28}`: with parameters.
    - `"my_rules.Mine"` or `{"name": "my_rules.Mine", …}`: your own, by its import path.
    - a `Rule`: itself.

    Args:
        given: one of these.
        where: where it stands, for errors: "arm GRPO".

    Raises:
        UserError: an unknown name or parameter (the nearest known one is suggested), a value that does not fit, or an
            import path that leads to no rule.
    """
    return make(given, RULES, Rule, "clipping rule", where)
