"""Rewards of groups of responses → advantages: estimators, one file each, named alike everywhere."""

from abcgrpo.advantages.estimator import Estimator, Groups
from abcgrpo.advantages.group import group_advantages
from abcgrpo.advantages.registry import ESTIMATORS, resolve_estimator

__all__ = ["ESTIMATORS", "Estimator", "Groups", "group_advantages", "resolve_estimator"]
