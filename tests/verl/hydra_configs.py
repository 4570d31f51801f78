"""verl's trainer configuration from command-line overrides, composed as `python -m verl.trainer.main_ppo` does."""

from hydra import compose, initialize_config_module
from omegaconf import DictConfig
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.config import ActorConfig

POLICY_LOSS = "actor_rollout_ref.actor.policy_loss"


def trainer_config(*overrides: str, name: str = "ppo_trainer") -> DictConfig:
    """The whole configuration with these overrides."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose(name, overrides=list(overrides))


def actor_config(*overrides: str) -> ActorConfig:
    """The actor's part as verl's workers build it."""
    micro_batch = "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=1"
    return omega_conf_to_dataclass(trainer_config(micro_batch, *overrides).actor_rollout_ref.actor)
