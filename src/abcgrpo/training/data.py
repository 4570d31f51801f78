"""What a recipe trains on: the task's rows with their prompts."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from abcgrpo.errors import UserError
from abcgrpo.tasks import Row, Task, TrainingData, get_rewards, get_task, resolve_model, spec_text, with_prompts
from abcgrpo.tasks.prompts import prompt_tokens
from abcgrpo.tasks.sources import HubError, from_hub
from abcgrpo.training.recipe import Recipe

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

TAKEN_BY_TRL = (
    "prompts", "completions", "completion", "completion_ids", "trainer_state", "log_extra", "log_metric", "environments"
)  # fmt: skip
"""What a reward is called with besides the columns."""


def training_examples(recipe: Recipe, seed: int) -> list[Row]:
    """The rows of a recipe's training set, each with its `prompt`.

    Raises:
        UserError: see `task_examples` and `short_prompts`.
    """
    return short_prompts(recipe, task_examples(recipe, seed))


def task_examples(recipe: Recipe, seed: int) -> list[Row]:
    """The task's rows with their prompts, however long.

    Raises:
        UserError: the data cannot be loaded or used; a `HubError` if the hub has it and cannot be reached.
    """
    task = task_of(recipe)
    data = TrainingData(
        recipe.num_problems, seed, recipe.dataset_name, recipe.dataset_config, recipe.skip_unusable_rows
    )
    template = task.template.changed(recipe.prompt_template, recipe.prompt_form)
    return with_prompts(task.training_rows(data), template)


def task_of(recipe: Recipe) -> Task:
    """The recipe's task, with the recipe's own rewards if it has some.

    Raises:
        UserError: no such task, or a reward that cannot be imported.
    """
    task = get_task(recipe.task)
    if recipe.reward_funcs is None:
        return task
    return task.rewarded_by(get_rewards(recipe.reward_funcs))


def training_set(examples: list[Row]) -> "Dataset":
    """The examples as the trainer takes them. A column of a name that TRL gives to rewards itself is left out.

    Raises:
        UserError: a column with values of different types.
    """
    import pyarrow
    from datasets import Dataset

    taken = [name for name in TAKEN_BY_TRL if name in examples[0]]
    if taken:
        logger.warning("columns with the names of TRL's reward arguments are left out: %s", ", ".join(taken))
    try:
        return Dataset.from_list([{k: v for k, v in row.items() if k not in taken} for row in examples])
    except (pyarrow.ArrowException, TypeError) as error:
        raise UserError(f"A column of the training data holds values of different types: {error}.") from error


@dataclass(frozen=True)
class TrainingSet:
    """What could be found out of a training set without training on it."""

    num_problems: int | None
    """None if only the hub knows, and it cannot be reached."""
    summary: str
    """Summary in words; also what could not be checked, and why."""
    columns_checked: bool = True
    prompt_lengths_checked: bool = True


def examined(recipe: Recipe, seed: int) -> TrainingSet:
    """Load the training set, and count what a run would train on.

    Raises:
        UserError: a mistake in the recipe or in its data. A hub that cannot be reached is no mistake.
    """
    try:
        examples = task_examples(recipe, seed)
    except HubError as error:
        return TrainingSet(recipe.num_problems, f"{recipe.dataset_name}: not checked. {error}", False, False)
    source = recipe.dataset_name or f"task {spec_text(recipe.task)}"
    summary = f"{source}: {len(examples)} problems, with the columns {', '.join(examples[0])}"
    if recipe.max_prompt_tokens is None:
        return TrainingSet(len(examples), summary)
    try:
        kept = short_prompts(recipe, examples)
    except HubError as error:
        summary += f"; the lengths of their prompts are not checked. {error}"
        return TrainingSet(len(examples), summary, prompt_lengths_checked=False)
    return TrainingSet(len(kept), f"{summary}; {len(kept)} prompts of at most {recipe.max_prompt_tokens} tokens")


def short_prompts(recipe: Recipe, examples: list[Row]) -> list[Row]:
    """The examples whose prompts have at most `max_prompt_tokens`; how many are left out is a warning.

    Raises:
        UserError: no prompt is short enough, or no tokenizer; a `HubError` if the hub has it and cannot be reached.
    """
    longest = recipe.max_prompt_tokens
    if longest is None:
        return examples
    tokenizer = _tokenizer(recipe.model_name_or_path)
    model = recipe.model_name_or_path
    kept = [each for each in examples if len(prompt_tokens(tokenizer, each["prompt"], model)) <= longest]
    if len(kept) < len(examples):
        left_out = len(examples) - len(kept)
        logger.warning("%d of %d prompts are longer than %d tokens and are left out", left_out, len(examples), longest)
    if not kept:
        raise UserError(f"max_prompt_tokens={longest} leaves the training set empty: every prompt is longer.")
    return kept


def _tokenizer(model: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(resolve_model(model))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise from_hub(
            error, f"max_prompt_tokens needs the tokenizer of {model!r}, which cannot be loaded: {reason}"
        ) from error
