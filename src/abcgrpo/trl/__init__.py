"""ABC-GRPO in TRL, without a fork: put `ABCGRPOConfig` and `ABCGRPOTrainer` where a script has TRL's names."""

from abcgrpo.trl.config import ABCGRPOConfig, FastGRPOConfig
from abcgrpo.trl.trainer import ABCGRPOTrainer, FastGRPOTrainer

__all__ = ["ABCGRPOConfig", "ABCGRPOTrainer", "FastGRPOConfig", "FastGRPOTrainer"]
