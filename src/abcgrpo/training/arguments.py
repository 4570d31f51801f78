"""The trainer's arguments from a recipe, and the errors in them that can be found before anything runs."""

import os
from importlib.util import find_spec
from typing import Any

from transformers.integrations.integration_utils import (
    get_available_reporting_integrations,
    get_reporting_integration_callbacks,
)

from abcgrpo.errors import UserError
from abcgrpo.training.adapter import missing_for_adapter
from abcgrpo.training.recipe import Recipe, configuration_class
from abcgrpo.trl import FastGRPOConfig


def make_arguments(recipe: Recipe, configuration: type[FastGRPOConfig], **defaults: Any) -> FastGRPOConfig:
    """The trainer's arguments. Quiet by default: progress and metrics have their own places.

    Args:
        recipe: what sets the fields.
        configuration: the class to make, `configuration_class` of the recipe's objective or a subclass.
        **defaults: values of fields that the recipe leaves out.

    Raises:
        UserError: fields that do not fit together.
    """
    if recipe.training.get("resume_from_checkpoint"):
        raise UserError("resume_from_checkpoint has no effect: an unfinished run in output_dir resumes by itself.")
    longest = recipe.training.get("max_completion_length")
    if longest is not None and longest < 1:  # which the host's own configuration takes for a mistake of its inside
        raise UserError(f"max_completion_length={longest} leaves no room for an answer: set at least 1.")
    quiet = {"report_to": [], "disable_tqdm": True}
    if _talk_by_gloo():
        quiet["use_cpu"] = True
    try:
        return configuration(**(quiet | defaults | recipe.training))
    except UserError:  # one that names its field, and says what to do
        raise
    except (ValueError, TypeError) as error:
        raise UserError(f"The recipe's training fields do not fit together: {error}") from error


def _talk_by_gloo() -> bool:
    """Whether this is one of several processes on CPUs. Accelerate joins them only where it is told that it is a CPU.

    Told so, it would drop FSDP and DeepSpeed without a word, for which it needs GPUs.
    """
    import torch

    sharded = any(os.environ.get(f"ACCELERATE_USE_{name}") == "true" for name in ("FSDP", "DEEPSPEED"))
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.cuda.is_available() and not sharded


def planned_arguments(recipe: Recipe, processes: int) -> FastGRPOConfig:
    """The arguments as one of so many processes would make them, on whatever machine this is.

    Raises:
        UserError: see `make_arguments`.
    """
    import torch

    planned = type(
        "PlannedConfig", (configuration_class(recipe.objective),), {"world_size": property(lambda _: processes)}
    )
    here = {} if torch.cuda.is_available() else {"use_cpu": True}
    return make_arguments(recipe, planned, **here)


def check_arguments(arguments: FastGRPOConfig) -> None:
    """Refuse values that the trainer takes and no run can come of.

    Raises:
        UserError: one of them; the message says what to set.
    """
    wrong = [
        (arguments.learning_rate < 0, f"learning_rate={arguments.learning_rate} is negative: set a number above 0."),
        (
            arguments.max_steps == 0 or arguments.max_steps < -1,
            f"max_steps={arguments.max_steps} trains nothing: set a number of optimizer steps, or leave it out for "
            f"num_train_epochs.",
        ),
        (
            arguments.max_steps == -1 and arguments.num_train_epochs <= 0,
            f"num_train_epochs={arguments.num_train_epochs} trains nothing: set a number above 0, or max_steps.",
        ),
        (arguments.temperature <= 0, f"temperature={arguments.temperature}: training samples above 0, for example 1."),
        (
            str(getattr(arguments.save_strategy, "value", arguments.save_strategy)) == "no",
            "save_strategy: no would save no model: leave it out, and set save_steps.",
        ),
    ]
    for applies, message in wrong:
        if applies:
            raise UserError(message)
    try:
        get_reporting_integration_callbacks(arguments.report_to)
    except ValueError as error:
        raise UserError(f"report_to names an unknown tracker: {error}") from error


def missing_here(recipe: Recipe, arguments: FastGRPOConfig) -> list[str]:
    """What a recipe and its arguments ask for and this environment lacks, a sentence each with what to do."""
    lacking = missing_for_adapter(recipe)
    if arguments.use_vllm and find_spec("vllm") is None:
        lacking.append("use_vllm: vLLM is not installed here. Install it with `pip install 'abcgrpo[vllm]'`.")
    available = get_available_reporting_integrations()
    lacking += [
        f"report_to: the tracker {name} is not installed here. Install it with `pip install {name}`, or leave it out."
        for name in arguments.report_to or []
        if name not in available
    ]
    return lacking
