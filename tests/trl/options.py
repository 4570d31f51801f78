"""What becomes of every field of `trl.GRPOConfig` and every argument of `trl.GRPOTrainer` in `abcgrpo.trl`.

`python -m tests.trl.options` writes docs/trl-options.md from this file and the installed classes; `test_options.py`
checks every row of it.
"""

import dataclasses
import inspect
from pathlib import Path
from typing import Any

from trl import GRPOConfig, GRPOTrainer

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
}
"""Each with a value that is refused; the page has the message."""

SHOWN: dict[str, str] = {
    "output_dir": "tests/trl/test_resume.py::test_small_checkpoints_and_one_rolling_state",
    "model_init_kwargs": "tests/trl/test_options.py::test_a_model_by_name_takes_its_arguments",
    "trust_remote_code": "tests/trl/test_options.py::test_a_model_by_name_takes_its_arguments",
    "chat_template_kwargs": "tests/trl/test_options.py::test_arguments_of_the_chat_template_reach_the_prompt",
    "bf16": "tests/trl/test_options.py::test_bfloat16_is_autocast_as_in_trl",
    "use_cpu": "tests/trl/test_config.py::test_both_trainers_take_the_same_script",
    "report_to": "tests/trl/test_trackers.py::test_tensorboard",
    "resume_from_checkpoint": "tests/trl/test_resume.py::test_from_every_step_to_the_same_end",
    "ignore_data_skip": "tests/trl/test_options.py::test_data_that_would_begin_anew_is_refused",
    "vllm_importance_sampling_correction": "tests/trl/test_identities.py::test_every_kind_of_rollout",
    "vllm_importance_sampling_mode": (
        "tests/trl/update/test_exactness.py::test_importance_correction_of_vllm_keeps_trls_order"
    ),
    "fsdp": "tests/trl/test_two_processes.py::test_fsdp2_shards_every_weight_and_gives_the_weights_of_one_process",
    "ddp_backend": "tests/trl/test_two_processes.py::test_two_processes_give_the_weights_of_one",
    "use_vllm": "tests/vllm/test_training.py",
}

WITHOUT_EFFECT: dict[str, str] = {
    "label_smoothing_factor": "TRL's loss has no labels",
    "label_names": "TRL's loss has no labels",
    "length_column_name": "TRL's sampler of groups is used whatever it says",
    "train_sampling_strategy": "TRL's sampler of groups is used whatever it says",
    "average_tokens_across_devices": "the loss counts tokens over all processes by itself",
    "include_for_metrics": "it belongs to compute_metrics, which TRL's trainer does not take",
    "batch_eval_metrics": "it belongs to compute_metrics, which TRL's trainer does not take",
    "eval_do_concat_batches": "it belongs to compute_metrics, which TRL's trainer does not take",
    "do_train": "transformers keeps it for scripts and does not read it",
    "do_predict": "transformers keeps it for scripts and does not read it",
    "local_rank": "the launcher says it",
    "use_transformers_paged": "TRL's former name of use_transformers_continuous_batching",
    "vllm_importance_sampling_cap": "TRL's former name of vllm_importance_sampling_clip_max",
}
"""Fields that change nothing in TRL's own trainer either, and why."""

_VLLM = "with use_vllm, by TRL; [engines.md](engines.md) says what was run"
_HUB = "by transformers; needs the hub"
_DEVICE = "by transformers and accelerate; for accelerators"
_PROCESSES = "by accelerate, with several processes"
_RUN = "by transformers"
PASSED_ON: dict[str, str] = {
    "optim_target_modules": "by transformers, for optimizers of some layers",
    "fp16": "by accelerate, for GPUs; overflows are left to its gradient scaler",
    "tf32": _DEVICE,
    "bf16_full_eval": _DEVICE,
    "fp16_full_eval": _DEVICE,
    "activation_checkpointing": "by accelerate, with FSDP",
    "activation_checkpointing_kwargs": "by accelerate, with FSDP",
    "torch_compile": _DEVICE,
    "torch_compile_backend": _DEVICE,
    "torch_compile_mode": _DEVICE,
    "use_liger_kernel": "by transformers, which replaces layers of the model; needs liger-kernel",
    "liger_kernel_config": "by transformers, which replaces layers of the model; needs liger-kernel",
    "auto_find_batch_size": _DEVICE,
    "log_on_each_node": _PROCESSES,
    "log_level_replica": _PROCESSES,
    "project": "by transformers, for trackers",
    "trackio_space_id": _HUB,
    "trackio_bucket_id": _HUB,
    "trackio_static_space_id": _HUB,
    "eval_use_gather_object": _PROCESSES,
    "eval_accumulation_steps": _DEVICE,
    "save_on_each_node": _PROCESSES,
    "push_to_hub": "by transformers; needs the hub. A checkpoint is pushed when it is whole",
    "hub_token": _HUB,
    "hub_private_repo": _HUB,
    "hub_model_id": _HUB,
    "hub_strategy": _HUB,
    "hub_always_push": _HUB,
    "hub_revision": _HUB,
    "restore_callback_states_from_checkpoint": _RUN,
    "full_determinism": _DEVICE,
    "accelerator_config": "by accelerate",
    "parallelism_config": _PROCESSES,
    "dataloader_multiprocessing_context": _RUN,
    "dataloader_in_order": _RUN,
    "remove_unused_columns": "by transformers; rewards get all columns while it is off, which is TRL's default",
    "ddp_find_unused_parameters": _PROCESSES,
    "ddp_bucket_cap_mb": _PROCESSES,
    "ddp_broadcast_buffers": _PROCESSES,
    "ddp_static_graph": _PROCESSES,
    "ddp_timeout": _PROCESSES,
    "fsdp_config": _PROCESSES,
    "deepspeed": "by accelerate; [engines.md](engines.md) says what was run",
    "ds3_gather_for_generation": "by accelerate; [engines.md](engines.md) says what was run",
    "debug": _RUN,
    "skip_memory_metrics": _RUN,
    "vllm_mode": _VLLM,
    "vllm_model_impl": _VLLM,
    "vllm_enable_sleep_mode": _VLLM,
    "vllm_structured_outputs_regex": _VLLM,
    "vllm_server_base_url": _VLLM,
    "vllm_server_host": _VLLM,
    "vllm_server_port": _VLLM,
    "vllm_server_timeout": _VLLM,
    "vllm_group_port": _VLLM,
    "vllm_gpu_memory_utilization": _VLLM,
    "vllm_max_model_length": _VLLM,
    "vllm_tensor_parallel_size": _VLLM,
    "vllm_importance_sampling_clip_max": _VLLM,
    "vllm_importance_sampling_clip_min": _VLLM,
    "max_tool_calling_iterations": "by TRL, with tools",
    "log_multimodal": "by TRL, for prompts with images",
    "log_completions_hub_repo": _HUB,
    "use_transformers_continuous_batching": "by TRL; rows are then padded as TRL has them, not packed",
    "transformers_continuous_batching_config": "by TRL, with use_transformers_continuous_batching",
}
"""Fields that no test here runs: who follows them, and when."""

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
    "quantization_config": "handed on to TRL; needs bitsandbytes",
    "peft_config": "tests/trl/test_config.py::test_lora_trains_the_adapter_alone",
    "tools": "tests/trl/update/test_exactness.py::test_tokens_of_tools_are_masked",
    "rollout_func": "tests/trl/test_options.py::test_a_rollout_of_ones_own",
    "environment_factory": "handed on to TRL, which makes tools of its methods",
}
"""The arguments of the trainer: the test that shows each, or why there is none."""


def rows() -> dict[str, tuple[str, str]]:
    """Every field that is known here: its kind, and what the page says of it."""
    shown = {
        name: "tests/trl/test_options.py::test_a_run_with_other_values_is_trls" for run in RUNS.values() for name in run
    }
    return (
        {name: ("supported", f"`{test}`") for name, test in (shown | SHOWN).items()}
        | {name: ("refused", refusal(name, value)) for name, value in REFUSED.items()}
        | {name: ("no effect", why) for name, why in WITHOUT_EFFECT.items()}
        | {name: ("passed on", f"followed {why}") for name, why in PASSED_ON.items()}
    )


def refusal(name: str, value: Any) -> str:
    """The message with which the trainer or its configuration refuses a value.

    Raises:
        AssertionError: it is taken.
    """
    import tempfile

    from tests.trl.trainers import abc_trainer

    with tempfile.TemporaryDirectory() as folder:
        try:
            abc_trainer(folder, **{name: value})
        except ValueError as error:
            return str(error).replace("|", "\\|")
    raise AssertionError(f"{name}={value!r} is taken")


def page() -> str:
    """docs/trl-options.md."""
    known = rows()
    fields = [field.name for field in dataclasses.fields(GRPOConfig)]
    arguments = [name for name in inspect.signature(GRPOTrainer.__init__).parameters if name != "self"]
    counts = {kind: sum(known[name][0] == kind for name in fields if name in known) for kind in HEADINGS}
    listed = "\n".join(f"- **{kind}** ({counts[kind]}): {meaning}" for kind, meaning in HEADINGS.items())
    order = {name: index for index, name in enumerate(fields)}
    lines = [
        f"| `{name}` | {' | '.join(known[name])} |" for name in sorted(set(fields) & set(known), key=order.__getitem__)
    ]
    told = [f"| `{name}` | {_argument(ARGUMENTS[name])} |" for name in arguments if name in ARGUMENTS]
    return "\n".join(
        [
            "# Every option of TRL's trainer",
            "",
            "What becomes of each field of `trl.GRPOConfig`, and of each argument of `trl.GRPOTrainer`, in",
            "`ABCGRPOConfig` and `ABCGRPOTrainer`. `python -m tests.trl.options` writes this page from the installed",
            "classes; a test holds it against them, so that a field that TRL adds or removes is noticed.",
            "",
            listed,
            "",
            "## Fields",
            "",
            "| field | | |",
            "|---|---|---|",
            *lines,
            "",
            "## Arguments of the trainer",
            "",
            "| argument | |",
            "|---|---|",
            *told,
            "",
        ]
    )


HEADINGS = {
    "supported": "a test has another value than the default, and ends where TRL's trainer does or shows the effect.",
    "refused": "another value than the default is an error, with this message.",
    "no effect": "it changes nothing in TRL's own trainer either.",
    "passed on": "TRL, transformers or accelerate follow it. No test here runs it.",
}


def _argument(text: str) -> str:
    return f"`{text}`" if text.startswith("tests/") else text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
