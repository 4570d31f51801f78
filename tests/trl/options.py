"""What becomes of every field of `trl.GRPOConfig` and every argument of `trl.GRPOTrainer` in `abcgrpo.trl`.

`python -m tests.trl.options` writes docs/trl-options.md from this file; `test_options.py` holds this file against
the installed classes, and checks every row of it.
"""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from accelerate.parallelism_config import ParallelismConfig

from tests.trl.trainers import abc_trainer

PAGE = Path(__file__).parents[2] / "docs" / "trl-options.md"

RUNS: dict[str, dict[str, Any]] = {
    "optimizer": {
        "optim": "adamw_torch",
        "learning_rate": 0.02,
        "adam_beta1": 0.8,
        "adam_beta2": 0.9,
        "adam_epsilon": 1e-3,
        "weight_decay": 0.1,
        "max_grad_norm": 0.05,
    },
    "another optimizer": {"optim": "adafactor", "optim_args": "relative_step=False,scale_parameter=False"},
    "schedule": {
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr_rate": 0.2},
        "warmup_steps": 1,
        "max_steps": 4,
    },
    "epochs": {"max_steps": -1, "num_train_epochs": 0.25},
    "batches": {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "steps_per_generation": 4,
        "num_iterations": 2,
        "num_generations": 2,
    },
    "batches by their sum": {"generation_batch_size": 16},
    "order of the data": {
        "shuffle_dataset": False,
        "seed": 3,
        "data_seed": 4,
        "dataloader_num_workers": 1,
        "dataloader_drop_last": True,
        "dataloader_pin_memory": False,
        "dataloader_prefetch_factor": 2,
        "dataloader_persistent_workers": True,
    },
    "sampling": {
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.05,
        "repetition_penalty": 1.3,
        "max_completion_length": 6,
        "generation_kwargs": {"min_new_tokens": 2},
        "pad_to_multiple_of": 4,
    },
    "cache": {"cache_implementation": "dynamic", "use_cache": False},
    "reference": {
        "beta": 0.1,
        "use_bias_correction_kl": False,
        "sync_ref_model": True,
        "ref_model_mixup_alpha": 0.3,
        "ref_model_sync_steps": 1,
    },
    "advantages": {
        "scale_rewards": "batch",
        "reward_weights": [3.0],
        "multi_objective_aggregation": "normalize_then_sum",
    },
    "loss": {"loss_type": "dr_grpo", "importance_sampling_level": "sequence", "mask_truncated_completions": True},
    "model": {
        "disable_dropout": True,
        "cast_lm_head_to_fp32": True,
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "torch_empty_cache_steps": 1,
    },
    "noise on embeddings": {"neftune_noise_alpha": 5.0},
    "evaluation": {
        "eval_strategy": "steps",
        "eval_steps": 1,
        "eval_delay": 1,
        "eval_on_start": True,
        "per_device_eval_batch_size": 4,
        "num_generations_eval": 2,
        "do_eval": True,
        "prediction_loss_only": False,
    },
    "logging": {
        "logging_strategy": "steps",
        "logging_steps": 2,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "log_completions": True,
        "num_completions_to_print": 1,
        "log_unique_prompts": True,
        "include_num_input_tokens_seen": True,
        "log_level": "error",
        "disable_tqdm": True,
        "run_name": "a-name",
    },
    "saving": {
        "save_strategy": "steps",
        "save_steps": 1,
        "save_total_limit": 2,
        "save_only_model": True,
        "eval_strategy": "steps",
        "eval_steps": 1,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_reward",
        "greater_is_better": True,
    },
}
"""Runs with other values than the default, each of which ends in TRL's weights, logged steps and files."""

REFUSED: dict[str, Any] = {
    "epsilon": 0.3,
    "epsilon_high": 0.28,
    "delta": 2.0,
    "off_policy_mask_threshold": 0.1,
    "top_entropy_quantile": 0.2,
    "entropy_coef": 0.01,
    "use_adaptive_entropy": True,
    "entropy_coef_min": 0.1,
    "entropy_coef_max": 2.0,
    "entropy_coef_delta": 0.1,
    "entropy_target": 0.5,
    "router_aux_loss_coef": 0.01,
    "sapo_temperature_neg": 2.0,
    "sapo_temperature_pos": 2.0,
    "vespo_k_pos": 3.0,
    "vespo_lambda_pos": 4.0,
    "vespo_k_neg": 4.0,
    "vespo_lambda_neg": 3.0,
    "enable_jit_checkpoint": True,
    "auto_find_batch_size": True,
}
"""Each with a value that is refused; the page has the message."""

TRAINED_WITH = "tests/trl/test_options.py::test_a_run_with_other_values_is_trls"
HANDED_ON_TEST = "tests/trl/test_options.py::test_what_is_handed_on_arrives_as_in_trl"

SHOWN: dict[str, str] = {
    "output_dir": "tests/trl/test_resume.py::test_small_checkpoints_and_one_rolling_state",
    "model_init_kwargs": "tests/trl/test_options.py::test_a_model_by_name_takes_its_arguments",
    "trust_remote_code": "tests/trl/test_options.py::test_a_model_by_name_takes_its_arguments",
    "chat_template_kwargs": "tests/trl/test_options.py::test_arguments_of_the_chat_template_reach_the_prompt",
    "bf16": "tests/trl/test_options.py::test_bfloat16_is_autocast_as_in_trl",
    "use_cpu": "tests/trl/test_config.py::test_both_trainers_take_the_same_script",
    "report_to": "tests/trl/test_trackers.py::test_tensorboard",
    "ignore_data_skip": "tests/trl/test_options.py::test_data_that_would_begin_anew_is_refused",
    "vllm_importance_sampling_correction": "tests/trl/test_identities.py::test_every_kind_of_rollout",
    "vllm_importance_sampling_mode": (
        "tests/trl/update/test_exactness.py::test_importance_correction_of_vllm_keeps_trls_order"
    ),
    "fsdp": "tests/sharding/test_sharding.py::test_it_gives_the_weights_of_one_process",
    "ddp_backend": "tests/trl/test_two_processes.py::test_two_processes_give_the_weights_of_one",
    "use_vllm": "tests/vllm/test_training.py",
}

NO_EFFECT: dict[str, tuple[Any, str]] = {
    "label_smoothing_factor": (0.1, "the loss has no labels"),
    "label_names": (["labels"], "the loss has no labels"),
    "length_column_name": ("size", "prompts are drawn by TRL's own sampler, which repeats each for its group"),
    "train_sampling_strategy": ("sequential", "as length_column_name; for the order of the data, shuffle_dataset"),
    "average_tokens_across_devices": (False, "the loss counts the tokens of all processes by itself"),
    "include_for_metrics": (["inputs"], "it belongs to compute_metrics, which TRL's trainer does not take"),
    "batch_eval_metrics": (True, "as include_for_metrics"),
    "eval_do_concat_batches": (False, "as include_for_metrics"),
    "do_train": (True, "transformers keeps it for scripts, and does not read it"),
    "do_predict": (True, "as do_train"),
    "resume_from_checkpoint": (
        "a-checkpoint",
        "as do_train: `trainer.train(resume_from_checkpoint=…)` is what resumes",
    ),
}
"""A value of each, and why it changes nothing: in TRL's own trainer as in this one."""

_VLLM = "TRL, with use_vllm ([engines.md](engines.md))"
_HUB = "transformers; needs the hub"
_DEVICE = "transformers and accelerate, on accelerators"
_PROCESSES = "accelerate, with several processes"
_RUN = "transformers"
HANDED_ON: dict[str, tuple[Any, str]] = {
    "max_tool_calling_iterations": (2, "TRL, with tools"),
    "optim_target_modules": (["q_proj"], "transformers, for optimizers of some layers"),
    "fp16": (True, "accelerate, on GPUs; overflows are left to its gradient scaler"),
    "tf32": (False, _DEVICE),
    "bf16_full_eval": (True, _DEVICE),
    "fp16_full_eval": (True, _DEVICE),
    "activation_checkpointing": (True, "accelerate"),
    "activation_checkpointing_kwargs": ({"use_reentrant": False}, "accelerate"),
    "torch_compile": (True, _DEVICE),
    "torch_compile_backend": ("eager", _DEVICE),
    "torch_compile_mode": ("reduce-overhead", _DEVICE),
    "use_liger_kernel": (True, "transformers, which replaces layers of the model; needs liger-kernel"),
    "liger_kernel_config": ({"rope": False}, "as use_liger_kernel"),
    "log_on_each_node": (False, _PROCESSES),
    "log_level_replica": ("error", _PROCESSES),
    "project": ("mine", "transformers, for trackers"),
    "trackio_space_id": ("me/space", _HUB),
    "trackio_bucket_id": ("me/bucket", _HUB),
    "trackio_static_space_id": ("me/static", _HUB),
    "eval_use_gather_object": (True, _PROCESSES),
    "eval_accumulation_steps": (2, _DEVICE),
    "save_on_each_node": (True, _PROCESSES),
    "push_to_hub": (True, "transformers; needs the hub. A checkpoint is pushed when it is whole"),
    "hub_token": ("hf_of_mine", _HUB),
    "hub_private_repo": (True, _HUB),
    "hub_model_id": ("me/model", _HUB),
    "hub_strategy": ("end", _HUB),
    "hub_always_push": (True, _HUB),
    "hub_revision": ("other", _HUB),
    "restore_callback_states_from_checkpoint": (True, _RUN),
    "full_determinism": (True, _DEVICE),
    "accelerator_config": ({"even_batches": False}, "accelerate"),
    "parallelism_config": (ParallelismConfig(cp_size=2), _PROCESSES),
    "dataloader_multiprocessing_context": ("spawn", _RUN),
    "dataloader_in_order": (False, _RUN),
    "remove_unused_columns": (True, "transformers; False, which is TRL's default, lets rewards have all columns"),
    "ddp_find_unused_parameters": (True, _PROCESSES),
    "ddp_bucket_cap_mb": (10, _PROCESSES),
    "ddp_broadcast_buffers": (True, _PROCESSES),
    "ddp_static_graph": (True, _PROCESSES),
    "ddp_timeout": (60, _PROCESSES),
    "fsdp_config": ({"min_num_params": 1}, _PROCESSES),
    "deepspeed": ({"zero_optimization": {"stage": 2}}, "accelerate ([engines.md](engines.md))"),
    "ds3_gather_for_generation": (False, "TRL, with DeepSpeed"),
    "local_rank": (0, "the launcher, which sets it"),
    "debug": ("underflow_overflow", _RUN),
    "skip_memory_metrics": (False, _RUN),
    "vllm_mode": ("server", _VLLM),
    "vllm_model_impl": ("transformers", _VLLM),
    "vllm_enable_sleep_mode": (True, _VLLM),
    "vllm_structured_outputs_regex": ("[0-9]+", _VLLM),
    "vllm_server_base_url": ("http://host:1", _VLLM),
    "vllm_server_host": ("host", _VLLM),
    "vllm_server_port": (9000, _VLLM),
    "vllm_server_timeout": (10.0, _VLLM),
    "vllm_group_port": (9001, _VLLM),
    "vllm_gpu_memory_utilization": (0.5, _VLLM),
    "vllm_max_model_length": (512, _VLLM),
    "vllm_tensor_parallel_size": (2, _VLLM),
    "vllm_importance_sampling_clip_max": (2.0, _VLLM),
    "vllm_importance_sampling_clip_min": (0.5, _VLLM),
    "vllm_importance_sampling_cap": (2.0, "TRL: the former name of vllm_importance_sampling_clip_max"),
    "log_multimodal": (False, "TRL, for prompts with images"),
    "log_completions_hub_repo": ("me/completions", _HUB),
    "use_transformers_continuous_batching": (True, "TRL; rows are then padded as TRL has them, not packed"),
    "transformers_continuous_batching_config": ({"block_size": 16}, "TRL, with use_transformers_continuous_batching"),
    "use_transformers_paged": (True, "TRL: the former name of use_transformers_continuous_batching"),
}
"""Fields that no test here trains with: a value of each, and who follows it."""

NEWER = {"activation_checkpointing", "activation_checkpointing_kwargs"}
"""Fields that the oldest supported transformers does not have."""

ARGUMENTS: dict[str, str] = {
    "model": "tests/trl/test_scripts.py::test_arguments_by_position",
    "reward_funcs": "tests/trl/test_scripts.py::test_reward_functions_stay_the_ones_that_were_given",
    "args": "tests/trl/test_config.py::test_the_hosts_configuration_is_refused_by_the_trainer",
    "train_dataset": "tests/trl/test_scripts.py::test_a_stream_of_prompts_trains_and_saves",
    "eval_dataset": "tests/trl/test_options.py::test_a_run_with_other_values_is_trls",
    "processing_class": "tests/trl/test_scripts.py::test_arguments_by_position",
    "reward_processing_classes": "tests/trl/test_options.py::test_a_reward_model_is_run_with_its_own_tokenizer",
    "callbacks": "tests/trl/test_options.py::test_callbacks_and_optimizers_of_ones_own",
    "optimizers": "tests/trl/test_options.py::test_callbacks_and_optimizers_of_ones_own",
    "quantization_config": "tests/trl/test_options.py::test_every_argument_of_the_trainer_is_handed_on",
    "peft_config": "tests/trl/test_config.py::test_lora_trains_the_adapter_alone",
    "tools": "tests/trl/update/test_exactness.py::test_tokens_of_tools_are_masked",
    "rollout_func": "tests/trl/test_options.py::test_a_rollout_of_ones_own",
    "environment_factory": "tests/trl/test_options.py::test_every_argument_of_the_trainer_is_handed_on",
}
"""The arguments of the trainer, all of them supported: the test that shows each."""


def rows() -> dict[str, str]:
    """Every field that is known here: how it is treated.

    Raises:
        ValueError: a field has two rows.
    """
    groups = (
        {name: "supported" for run in RUNS.values() for name in run},
        dict.fromkeys(SHOWN, "supported"),
        dict.fromkeys(HANDED_ON, "supported"),
        dict.fromkeys(REFUSED, "refused"),
        dict.fromkeys(NO_EFFECT, "no effect"),
    )
    twice = [name for name, times in Counter(name for group in groups for name in group).items() if times > 1]
    if twice:
        raise ValueError(f"{', '.join(twice)}: one row for each field")
    return {name: kind for group in groups for name, kind in group.items()}


def refusal(name: str, value: Any) -> str:
    """The message with which the trainer or its configuration refuses a value.

    Raises:
        AssertionError: it is taken.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            abc_trainer(folder, **{name: value})
        except ValueError as error:
            return str(error).replace("|", "\\|")
    raise AssertionError(f"{name}={value!r} is taken")


def page() -> str:
    """docs/trl-options.md, the same whatever versions are installed."""
    counts = Counter(rows().values())
    newer = " and ".join(f"`{name}`" for name in sorted(NEWER))
    trained = ", ".join(f"`{name}`" for name in sorted({name for run in RUNS.values() for name in run}))
    shown = table({f"`{name}`": f"`{test}`" for name, test in sorted(SHOWN.items())})
    followers: dict[str, list[str]] = {}
    for name, (_, who) in sorted(HANDED_ON.items()):
        followers.setdefault(who, []).append(f"`{name}`")
    handed_on = table({who: ", ".join(names) for who, names in sorted(followers.items())})
    refused = table({f"`{name}`": refusal(name, value) for name, value in sorted(REFUSED.items())})
    no_effect = table({f"`{name}`": why for name, (_, why) in sorted(NO_EFFECT.items())})
    arguments = table({f"`{name}`": f"`{test}`" for name, test in ARGUMENTS.items()})
    return f"""# Every option of TRL's trainer

This page says how `ABCGRPOConfig` and `ABCGRPOTrainer` treat each field of `trl.GRPOConfig` and each argument of
`trl.GRPOTrainer`. `python -m tests.trl.options` writes it, and a test compares it with the installed classes, so that a
field that TRL adds or removes is noticed. The test runs with the oldest and the newest supported transformers; only the
newest has {newer}.

## Supported ({counts["supported"]} fields)

**Trained with another value than the default**, and the run ends in TRL's weights, logged steps and files
(`{TRAINED_WITH}`):

{trained}.

**Shown by a test of its own:**

| field | test |
|---|---|
{shown}

**Handed on.** No test here trains with these; the value arrives as in
TRL (`{HANDED_ON_TEST}`).

| read by | fields |
|---|---|
{handed_on}

## Refused ({counts["refused"]} fields)

Another value than the default is an error with this message.

| field | message |
|---|---|
{refused}

## Without effect ({counts["no effect"]} fields)

They change nothing in TRL's own trainer either; a test trains with a value of each.

| field | reason |
|---|---|
{no_effect}

## Arguments of the trainer

All are supported.

| argument | test |
|---|---|
{arguments}
"""


def table(cells: dict[str, str]) -> str:
    """The rows of a Markdown table of two columns."""
    return "\n".join(f"| {left} | {right} |" for left, right in cells.items())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
