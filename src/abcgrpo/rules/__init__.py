"""Clipping rules: one file each, named alike in Python, YAML, on the command line and in every engine.

| module      | subject                                                                                 |
|-------------|-----------------------------------------------------------------------------------------|
| `registry`  | the known names, and the rule that a user's words stand for                             |
| `rule`      | what a rule is: `Rule`, and `AdaptiveRule` for one whose thresholds move                |
| `parameter` | parameters with limits                                                                  |
| `bounded`   | what rules of four constant bounds share                                                |
| `weighted`  | what rules share that hold a weight constant; gates                                     |
| all others  | a rule each (`only_one_quadrant`: four)                                                 |
"""

from abcgrpo.rules.parameter import parameter
from abcgrpo.rules.registry import RULES, resolve_rule
from abcgrpo.rules.rule import AdaptiveRule, Rule

__all__ = ["RULES", "AdaptiveRule", "Rule", "parameter", "resolve_rule"]
