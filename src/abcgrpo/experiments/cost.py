"""What an experiment on GPUs will cost: GPU-hours and storage, by formulas, before any of it is run.

P parameters, A of an adapter, T tokens (prompts and responses) of all rollouts of a run. A token takes 2·P
floating-point operations in each forward pass and 4·P in a backward one: 2·P to be sampled, 2·P for its old log-prob,
6·P for the loss, and 2·P more with gradient checkpointing. With an adapter the backward pass takes 2·P, since frozen
weights have no gradient; its own operations are too few to count. GPU-hours are operations ÷ (`PEAK` · `UTILIZATION` ·
3600 s).
"""

import math
from dataclasses import dataclass

from abcgrpo.experiments.specification import Experiment
from abcgrpo.training.adapter import adapter_of
from abcgrpo.training.arguments import planned_arguments
from abcgrpo.training.batches import plan_batches, planned_processes
from abcgrpo.training.memory import GIB, Size, model_config, model_size

PEAK = 989e12
"""Floating-point operations per second: dense bfloat16 of an H100 SXM."""
UTILIZATION = 0.1
"""Share of the peak over a whole run. The one published run that says how long it took (Qwen3-4B-Base, GRPO: 1.08 · 10⁹
tokens, 62,772 s on 8 GPUs) comes to 10% by the formula above, if its GPUs were H100s, which it does not say."""
RESPONSE = 1 / 2
"""Mean response, as a share of the longest: 1,500 of 3,072 tokens in the published logs."""
PROMPT_TOKENS = 100
"""Mean prompt, of the mathematical problems of the paper."""


@dataclass(frozen=True)
class Cost:
    """The cost of all runs of an experiment together."""

    parameters: int
    adapters: tuple[int, ...]
    """Parameters of the arms' adapters, where arms have them."""
    tokens_per_run: float
    training_hours: float
    """GPU-hours of training."""
    evaluation_hours: float
    """GPU-hours of evaluation, that of the base included."""
    storage_gib: float
    """Checkpoints that stay, and the state of each run that is under way."""
    storage_formula: str
    state_gib: float
    """State of a run that is under way; of several kinds of arms, the largest."""


def cost(experiment: Experiment, questions: int) -> Cost | None:
    """What the experiment costs; None if the number of optimizer steps is not known: no max_steps, no num_problems.

    Args:
        experiment: what is run.
        questions: of all benchmarks together.

    Raises:
        UserError: a `HubError` where the model's configuration is on the hub and cannot be reached.
    """
    plan = experiment.evaluation
    config = model_config(experiment.model_name_or_path)
    sizes: dict[str, Size] = {}
    training = storage = tokens = answer = 0.0
    models = 1
    formulas = set()
    for run in experiment.runs():
        recipe = experiment.recipe(run.arm, run.seed, ".", run.condition)
        if run.arm not in sizes:
            sizes[run.arm] = model_size(config, adapter_of(recipe))
        parameters, trained = sizes[run.arm].base, sizes[run.arm].trained
        processes = planned_processes(recipe)
        arguments = planned_arguments(recipe, processes)
        batches = plan_batches(arguments, processes, recipe.num_problems)
        if batches.optimizer_steps is None:
            return None
        rollouts = batches.optimizer_steps * batches.rollouts_per_optimizer_step / arguments.num_iterations
        longest = arguments.max_completion_length or 0
        tokens = rollouts * (PROMPT_TOKENS + RESPONSE * longest)
        update = arguments.num_iterations * ((4 if recipe.adapter else 6) + 2 * bool(arguments.gradient_checkpointing))
        training += _hours((4 + update) * parameters * tokens)
        checkpoints = math.ceil(batches.optimizer_steps / max(arguments.save_steps, 1))
        models += checkpoints
        answer = PROMPT_TOKENS + RESPONSE * (plan.max_new_tokens or longest)
        size = 4 if arguments.save_only_model else 16
        storage += checkpoints * size * trained / GIB
        formulas.add(f"{checkpoints} · {size}·{'A' if recipe.adapter else 'P'}")
    parameters = max(each.base for each in sizes.values())
    adapters = tuple(sorted({each.adapter for each in sizes.values() if each.adapter}))
    state = 16 * max(each.trained for each in sizes.values()) / GIB
    evaluation = _hours(2 * parameters * models * questions * plan.samples * answer)
    formula = f"{len(experiment.runs())} runs · {' or '.join(sorted(formulas))} bytes"
    return Cost(parameters, adapters, tokens, training, evaluation, storage, formula, state)


def sentences(found: Cost) -> list[str]:
    """The cost, with its formula and what it takes for granted."""
    adapters = ""
    if found.adapters:
        listed = " or ".join(f"{each / 1e6:.1f}" for each in found.adapters)
        adapters = f", adapters of A = {listed} · 10⁶ (4·P for the loss)"
    return [
        f"GPU-hours: about {found.training_hours:,.0f} of training and {found.evaluation_hours:,.0f} of evaluation, "
        f"for P = {found.parameters / 1e9:.2f} · 10⁹ parameters{adapters} and "
        f"T = {found.tokens_per_run / 1e9:.2f} · 10⁹ tokens in each run: T · (2·P to sample + 2·P for old log-probs + "
        f"6·P for the loss, and 2·P with gradient checkpointing), and 2·P for each token of evaluation, at "
        f"{UTILIZATION:.0%} of {PEAK / 1e12:.0f} TFLOP/s. "
        f"Assumed: responses half as long as they may be, prompts of {PROMPT_TOKENS} tokens. Another GPU, and "
        f"responses of another length, change it in proportion.",
        f"Storage: {found.storage_gib:,.1f} GiB of checkpoints ({found.storage_formula}), and "
        f"{found.state_gib:,.1f} GiB of state, 16 bytes of each trained parameter, for each run that is under way.",
    ]


def _hours(operations: float) -> float:
    return operations / (PEAK * UTILIZATION * 3600)
