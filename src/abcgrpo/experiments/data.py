"""What a recipe trains on: the task's rows with their prompts."""

import logging
from dataclasses import dataclass
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.experiments.recipe import Recipe
from abcgrpo.tasks import Row, TrainingData, get_task, resolve_model, with_prompts
from abcgrpo.tasks.prompts import Prompt
from abcgrpo.tasks.sources import HubError, from_hub

logger = logging.getLogger(__name__)


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
    task = get_task(recipe.task)
    data = TrainingData(
        recipe.num_problems, seed, recipe.dataset_name, recipe.dataset_config, recipe.skip_unusable_rows
    )
    template = task.template.changed(recipe.prompt_template, recipe.prompt_form)
    return with_prompts(task.training_rows(data), template)


@dataclass(frozen=True)
class TrainingSet:
    """What could be found out of a training set without training on it."""

    num_problems: int | None
    """None where only the hub knows, and it cannot be reached."""
    summary: str
    """In words; also what could not be checked, and why."""
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
    source = recipe.dataset_name or f"{recipe.task}, generated"
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
    kept = [example for example in examples if _tokens(example["prompt"], tokenizer) <= longest]
    if len(kept) < len(examples):
        left_out = len(examples) - len(kept)
        logger.warning("%d of %d prompts are longer than %d tokens and are left out", left_out, len(examples), longest)
    if not kept:
        raise UserError(f"max_prompt_tokens={longest} leaves the training set empty: every prompt is longer.")
    return kept


def _tokens(prompt: Prompt, tokenizer: Any) -> int:
    """The number of tokens that the model is given: a conversation in its chat template, with what opens an answer."""
    if isinstance(prompt, str):
        return len(tokenizer(prompt)["input_ids"])
    return len(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"])


def _tokenizer(model: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(resolve_model(model))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise from_hub(
            error, f"max_prompt_tokens needs the tokenizer of {model!r}, which cannot be loaded: {reason}"
        ) from error
