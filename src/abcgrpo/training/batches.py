"""How a training set becomes optimizer steps: the arithmetic of TRL's sampler and of the Hugging Face trainer."""

import math
import os
from dataclasses import asdict, dataclass
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.training.recipe import Recipe


@dataclass(frozen=True)
class Batches:
    """The batches of a run. A rollout is one sampled response; a generation is what is sampled at once.

    TRL's sampler takes whole generations only: problems that do not fill one are left out of the epoch. The trainer
    rounds an epoch's last optimizer step up.
    """

    num_processes: int
    rollouts_per_generation: int
    """per_device_train_batch_size × num_processes × steps_per_generation, or generation_batch_size."""
    problems_per_generation: int
    """rollouts_per_generation ÷ num_generations."""
    optimizer_steps_per_generation: float
    """steps_per_generation × num_iterations ÷ gradient_accumulation_steps."""
    rollouts_per_optimizer_step: int
    """per_device_train_batch_size × num_processes × gradient_accumulation_steps."""
    num_problems: int | None = None
    """Problems in the training set; None if that is not known."""
    generations_per_epoch: int | None = None
    problems_left_out_per_epoch: int | None = None
    optimizer_steps: int | None = None
    """max_steps, or num_train_epochs × the optimizer steps of an epoch."""

    def to_dict(self) -> dict[str, Any]:
        """The numbers by name; one that is not known is null."""
        return asdict(self)


def plan_batches(arguments: Any, num_processes: int, num_problems: int | None) -> Batches:
    """The batches of a configuration.

    Args:
        arguments: an `ABCGRPOConfig` for `num_processes`.
        num_processes: of the run.
        num_problems: in the training set, if that is known.

    Raises:
        UserError: fewer problems than one generation takes.
    """
    rollouts = arguments.generation_batch_size
    problems = rollouts // arguments.num_generations
    accumulation = arguments.gradient_accumulation_steps
    micro_batches = arguments.steps_per_generation * arguments.num_iterations
    known = {}
    if num_problems is not None:
        generations = num_problems // problems
        if not generations:
            raise UserError(
                f"A rollout takes {problems} problems, the training set has {num_problems}: so no step is possible."
            )
        per_epoch = math.ceil(generations * micro_batches / accumulation)
        known = {
            "generations_per_epoch": generations,
            "problems_left_out_per_epoch": num_problems % problems,
            "optimizer_steps": math.ceil(arguments.num_train_epochs * per_epoch),
        }
    if arguments.max_steps > 0:
        known["optimizer_steps"] = arguments.max_steps
    whole, rest = divmod(micro_batches, accumulation)
    return Batches(
        num_processes=num_processes,
        rollouts_per_generation=rollouts,
        problems_per_generation=problems,
        optimizer_steps_per_generation=micro_batches / accumulation if rest else whole,
        rollouts_per_optimizer_step=arguments.per_device_train_batch_size * num_processes * accumulation,
        num_problems=num_problems,
        **known,
    )


def planned_processes(recipe: Recipe) -> int:
    """The number of processes that a recipe is meant for: its own, or as many as were started."""
    return recipe.num_processes or int(os.environ.get("WORLD_SIZE", "1"))


def require_processes(recipe: Recipe, started: int) -> None:
    """Refuse a number of processes that would make other batches than the recipe's.

    Raises:
        UserError: another number than the recipe's `num_processes`; or processes that were started together, and did
            not join.
    """
    together = int(os.environ.get("WORLD_SIZE", "1"))
    if together > started == 1:
        raise UserError(
            f"{together} processes started, and each of them is alone: FSDP and DeepSpeed share a model out over GPUs, "
            f"and there are none here. On CPUs start them by `torchrun`; in an experiment leave `launch` out."
        )
    wanted = recipe.num_processes
    if wanted is not None and wanted != started:
        raise UserError(
            f"The recipe's batch sizes are for num_processes={wanted}, and {started} started. Start {wanted}, for "
            f"instance with `torchrun --nproc-per-node {wanted} -m abcgrpo train …`; or keep the batch on another "
            f"number by changing num_processes, gradient_accumulation_steps and steps_per_generation together."
        )
