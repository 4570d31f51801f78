"""Of which run a checkpoint is: the settings that must be equal for it to go on from there, and those that need not."""

from typing import Any

import torch
import transformers
import trl
from datasets import Dataset

from abcgrpo.files import without_secrets

FREE = {
    "output_dir", "run_name", "project", "report_to", "disable_tqdm", "log_level", "log_level_replica",
    "log_on_each_node", "save_only_model", "save_strategy", "save_steps", "save_on_each_node", "save_total_limit",
    "resume_from_checkpoint", "resume_minutes", "local_rank", "push_to_hub", "hub_token", "hub_private_repo",
    "hub_model_id", "hub_strategy", "hub_always_push", "hub_revision",
}  # fmt: skip
"""Arguments that change neither weights nor metrics, so that they may differ when a run goes on."""


def configuration_of(trainer: Any) -> dict[str, Any]:
    """What must be equal for a run to go on: arguments but for secrets, processes, model, data and rewards."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    count = sum(parameter.numel() for parameter in model.parameters())
    data = trainer.train_dataset
    return {
        **{name: value for name, value in without_secrets(trainer.args.to_dict()).items() if name not in FREE},
        "processes": trainer.accelerator.num_processes,
        "model": f"{type(model).__name__} with {count} parameters",
        "training set": f"{len(data)} rows, {data._fingerprint}" if isinstance(data, Dataset) else "a stream",
        "rewards": list(trainer.reward_func_names),
    }


def versions() -> dict[str, str]:
    """Of the libraries that compute."""
    return {"torch": torch.__version__, "transformers": transformers.__version__, "trl": trl.__version__}
