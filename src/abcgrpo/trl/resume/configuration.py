"""The identity of a checkpoint's run: the settings that must be equal to resume from it, and those that need not."""

from typing import Any

import torch
import transformers
import trl
from datasets import Dataset
from torch.distributed.fsdp import FSDPModule

from abcgrpo.files import without_secrets
from abcgrpo.trl.adapters import adapter_settings, adapters_of, numel

FREE = {
    "output_dir", "run_name", "project", "report_to", "disable_tqdm", "log_level", "log_level_replica",
    "log_on_each_node", "save_only_model", "save_strategy", "save_steps", "save_on_each_node", "save_total_limit",
    "resume_from_checkpoint", "resume_minutes", "local_rank", "push_to_hub", "hub_token", "hub_private_repo",
    "hub_model_id", "hub_strategy", "hub_always_push", "hub_revision", "trackio_space_id", "trackio_bucket_id",
    "trackio_static_space_id", "logging_strategy", "logging_steps", "logging_first_step", "logging_nan_inf_filter",
    "log_completions", "log_multimodal", "num_completions_to_print", "log_unique_prompts", "log_completions_hub_repo",
    "dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers", "dataloader_prefetch_factor",
    "dataloader_multiprocessing_context", "skip_memory_metrics", "include_num_input_tokens_seen", "ddp_timeout",
    "torch_empty_cache_steps", "update_entropy", "max_failed_rewards", "max_skipped_in_a_row", "warn_ratio_above",
    "warn_mismatch_above", "warn_kl_above", "resume_as_another_run", "record_tokens", "shadow_rules",
}  # fmt: skip
"""Arguments that change no weight, so that they may differ when a run is resumed."""

LENGTH = {"max_steps", "num_train_epochs"}
"""Arguments that change no weight of the steps before either's end, where the learning rate does not depend on them."""

NEVER = {"model", "optim"}
"""What a state cannot be loaded into if it differs."""


def configuration_of(trainer: Any) -> dict[str, Any]:
    """The run that a state belongs to: arguments except secrets, processes, model, data and rewards."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    kind = next(kind for kind in type(model).__mro__ if not issubclass(kind, FSDPModule))  # FSDP2 makes one of its own
    count = sum(map(numel, model.parameters()))
    adapters = adapters_of(trainer.accelerator, trainer.model)
    data = trainer.train_dataset
    return {
        **without_secrets(trainer.args.to_dict()),
        "processes": trainer.accelerator.num_processes,
        "model": f"{kind.__name__} with {count} parameters",
        **({"adapters": {name: adapter_settings(each) for name, each in adapters.items()}} if adapters else {}),
        "training set": f"{len(data)} rows, {data._fingerprint}" if isinstance(data, Dataset) else "a stream",
        "rewards": list(trainer.reward_func_names),
    }


def comparable(configuration: dict[str, Any], args: Any) -> dict[str, Any]:
    """The settings that must be equal for a run with these arguments to resume exactly."""
    constant = args.lr_scheduler_type == "constant"
    if args.lr_scheduler_type == "constant_with_warmup":
        constant = args.warmup_steps == 0 or args.warmup_steps >= 1  # below 1 it is a share of all steps
    if (args.eval_steps or 1) < 1:
        constant = False  # a share of all steps, and an evaluation draws random numbers
    free = FREE | LENGTH if constant else FREE
    return {name: value for name, value in configuration.items() if name not in free}


def versions() -> dict[str, str]:
    """Versions of the libraries that compute."""
    return {"torch": torch.__version__, "transformers": transformers.__version__, "trl": trl.__version__}
