"""Bad rewards cost their row, bad numbers their optimizer step, and each is told.

`rewards` and `numbers` are the trainer's components; `calls` calls a reward function again where it failed.
"""

from abcgrpo.trl.guards.numbers import NumberGuards
from abcgrpo.trl.guards.rewards import RewardGuards

__all__ = ["NumberGuards", "RewardGuards"]
