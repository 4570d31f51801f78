"""Clipping rules: one file each, named alike in Python, YAML, on the command line and in every engine."""

from abcgrpo.rules.registry import RULES, resolve_rule
from abcgrpo.rules.rule import AdaptiveRule, Rule

__all__ = ["RULES", "AdaptiveRule", "Rule", "resolve_rule"]
