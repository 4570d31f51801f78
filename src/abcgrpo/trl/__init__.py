"""ABC-GRPO in TRL, without a fork: put `ABCGRPOConfig` and `ABCGRPOTrainer` where a script has TRL's names."""

from abcgrpo.trl.abc_trainer import ABCGRPOTrainer
from abcgrpo.trl.config import ABCGRPOConfig, FastGRPOConfig
from abcgrpo.trl.fast_trainer import FastGRPOTrainer

__all__ = ["ABCGRPOConfig", "ABCGRPOTrainer", "FastGRPOConfig", "FastGRPOTrainer"]
