"""What a recipe would do, found out without its weights: names, data, batches, memory."""

from dataclasses import asdict
from typing import Any

from abcgrpo.progress import quiet_libraries
from abcgrpo.tasks.sources import HubError
from abcgrpo.training.adapter import adapter_of, check_adapter, missing_for_adapter
from abcgrpo.training.arguments import check_arguments, planned_arguments
from abcgrpo.training.batches import plan_batches, planned_processes
from abcgrpo.training.data import examined, task_of
from abcgrpo.training.memory import estimate_memory, model_config
from abcgrpo.training.recipe import Recipe
from abcgrpo.trl import ABCGRPOConfig, FastGRPOConfig


def dry_run(recipe: Recipe) -> dict[str, Any]:
    """Check everything of a recipe that needs no weights, and say what it would do.

    What only the hub can answer, and the hub cannot be reached for, is reported as not checked; the size of the
    training set is then the recipe's `num_problems`, if it has one.

    Raises:
        UserError: a mistake in the recipe or in its data.
    """
    quiet_libraries()
    processes = planned_processes(recipe)
    arguments = planned_arguments(recipe, processes)
    check_arguments(arguments)
    check_adapter(recipe, arguments)
    task = task_of(recipe)
    rewards = [reward.__name__ for reward in task.rewards]
    template = task.template.changed(recipe.prompt_template, recipe.prompt_form)
    data = asdict(examined(recipe, arguments.seed))
    batches = plan_batches(arguments, processes, data.pop("num_problems"))
    return {
        "recipe": recipe.to_flat(),
        **batches.to_dict(),
        "rule": arguments.clipping_rule.to_dict() if isinstance(arguments, ABCGRPOConfig) else None,
        "loss_type": arguments.loss_type,
        "rewards": rewards,
        "prompt": template.to_dict(),
        "dataset": data,
        "memory": _memory(recipe, arguments, processes),
    }


def terminal(found: dict[str, Any]) -> str:
    """What `dry_run` found, as lines for a reader."""
    unknown = "not known: give --num-problems"
    steps = found["optimizer_steps"] if found["optimizer_steps"] is not None else unknown
    rule = ", ".join(str(v) if name == "name" else f"{name} {v}" for name, v in (found["rule"] or {}).items())
    lines = [
        f"model       {found['recipe']['model_name_or_path']}",
        f"objective   {found['recipe']['objective']}, {found['loss_type']}",
        *([f"rule        {rule}"] if rule else []),
        f"prompt      {found['prompt']['form']}: {found['prompt']['text']!r}",
        f"rewards     {', '.join(found['rewards'])}",
        f"data set    {found['dataset']['summary']}",
        "",
        f"processes                         {found['num_processes']}",
        f"rollouts per generation           {found['rollouts_per_generation']} "
        f"({found['problems_per_generation']} problems)",
        f"optimizer steps per generation    {found['optimizer_steps_per_generation']} "
        f"(of {found['rollouts_per_optimizer_step']} rollouts)",
        f"generations per epoch             {_or(found['generations_per_epoch'], unknown)}",
        f"optimizer steps                   {steps}",
        "",
        *_memory_lines(found["memory"]),
    ]
    return "\n".join(lines)


def _memory(recipe: Recipe, arguments: FastGRPOConfig, processes: int) -> dict[str, Any]:
    if obstacles := missing_for_adapter(recipe):
        return {"estimated": False, "reason": obstacles[0]}
    try:
        config = model_config(recipe.model_name_or_path)
    except HubError as error:
        return {"estimated": False, "reason": str(error)}
    found = estimate_memory(config, arguments, recipe.max_prompt_tokens, processes, adapter_of(recipe))
    return {"estimated": True} | found


def _memory_lines(memory: dict[str, Any]) -> list[str]:
    if not memory["estimated"]:
        return [f"memory      not estimated. {memory['reason']}"]
    adapter = f", A = {memory['adapter_parameters'] / 1e6:.1f} · 10⁶ trained" if memory["adapter_parameters"] else ""
    lines = [f"memory of one GPU, estimated in GiB for P = {memory['parameters'] / 1e9:.2f} · 10⁹ parameters{adapter}"]
    for name in ("activations", "head"):
        lines.append(f"  {name:<12}{memory[name]['gib']:>8.1f}   {memory[name]['formula']}")
    for name, total in memory["per_gpu"].items():
        lines.append(
            f"  {name:<12}{total['training_gib']:>8.1f}   with weights, gradients, Adam: {total['state_gib']:.1f} "
            f"= {total['state_formula']}; a GPU of {total['smallest_gpu_gib']:.0f} at least"
        )
    if vllm := memory["vllm"]:
        lines.append(
            f"  vLLM        {vllm['share_of_gpu']:.0%} of the GPU: weights {vllm['weights_gib']:.1f} = "
            f"{vllm['weights_formula']}, cache {vllm['cache_gib_per_longest_response']:.2f} for the longest response"
        )
    return lines


def _or(value: Any, otherwise: str) -> Any:
    return otherwise if value is None else value
