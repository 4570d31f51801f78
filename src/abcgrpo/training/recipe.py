"""A recipe: everything that one training run depends on, in one flat file.

Its keys are the fields of the trainer's configuration and of LoRA, which are TRL's, and those of `Recipe`. Unknown keys
and values of the wrong type are errors; nothing is ignored.
"""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from abcgrpo.errors import UserError, unknown_name
from abcgrpo.files import read_yaml
from abcgrpo.rules.abc_grpo import Boundaries
from abcgrpo.tasks import BASES, DEFAULT, Spec
from abcgrpo.training.adapter import SWITCH, check_fields, field_types, refuse_quantization
from abcgrpo.training.shipped import run_name

if TYPE_CHECKING:
    from abcgrpo.trl.config import FastGRPOConfig

Objective = Literal["abc-grpo", "trl"]
"""`abc-grpo`: the loss with four thresholds. `trl`: TRL's own, as its `loss_type` and `importance_sampling_level` say
(grpo, dapo, cispo, sapo …; GSPO is `importance_sampling_level: sequence`), with the same update and metrics."""


@dataclass(frozen=True)
class Recipe:
    """What a training run starts from, and how it is trained."""

    model_name_or_path: str
    """A directory, a hub id, or the name of a base that travels with this package (`abcgrpo.tasks.BASES`)."""
    objective: Objective = "abc-grpo"
    """Which loss it is trained with, and so which fields `training` has."""
    task: Spec = DEFAULT
    """What it is trained on: see `abcgrpo.tasks.get_task`."""
    num_problems: int | None = None
    """Different problems in the training set. Without it the usual number of generated ones, all of a data set."""
    dataset_name: str | None = None
    """A data set of the hub, or a .jsonl or .parquet file, for a task that trains on one."""
    dataset_config: str | None = None
    """The configuration of a data set of the hub that has several."""
    skip_unusable_rows: bool = False
    """Leave out rows of the data set that cannot be used, with a warning, instead of refusing it."""
    prompt_template: str | None = None
    """Another text around `{problem}` than the task's."""
    prompt_form: str | None = None
    """`chat` (one user message) or `plain` (text, for models without a chat template); the task's by default."""
    max_prompt_tokens: int | None = None
    """Longest prompt, in the model's tokens; problems whose prompts are longer are left out, with a warning."""
    num_processes: int | None = None
    """How many processes the batch sizes are meant for; a run on any other number is refused."""
    reward_funcs: list[str] | None = None
    """Rewards instead of the task's, by import path, in TRL's signature; the working directory is importable.
    Evaluation grades by the first of them: right is a reward of 1 or more."""
    adapter: dict[str, Any] = field(default_factory=dict)
    """The LoRA fields that are set, by TRL's names; empty where the whole model is trained."""
    training: dict[str, Any] = field(default_factory=dict)
    """The fields that are set, by name: of `ABCGRPOConfig`, or with `objective: trl` of `FastGRPOConfig`."""

    def to_flat(self) -> dict[str, Any]:
        """The recipe as its file has it."""
        own = {name: getattr(self, name) for name in own_types()}
        set_here = {name: value for name, value in own.items() if value is not None and value is not False}
        return set_here | self.adapter | self.training

    def with_fields(self, changes: dict[str, Any], where: str) -> "Recipe":
        """This recipe with some fields changed; see `recipe_from_flat` for what it raises."""
        return recipe_from_flat(self.to_flat() | changes, where)


def read_recipe(path: Path, overrides: dict[str, Any] | None = None) -> Recipe:
    """The recipe in a YAML file, with fields replaced by `overrides`.

    Raises:
        UserError: see `recipe_from_flat`; also a file that cannot be read.
    """
    recipe = recipe_from_flat(read_yaml(path), str(path))
    if overrides:
        recipe = recipe.with_fields(overrides, "command line")
    if "output_dir" not in recipe.training:
        recipe = replace(recipe, training={"output_dir": f"runs/{run_name(path)}"} | recipe.training)
    return recipe


def recipe_from_flat(flat: dict[str, Any], where: str) -> Recipe:
    """A recipe from the mapping that its file holds.

    Raises:
        UserError: an unknown key (with the nearest known one), a value of the wrong type, a model that is not named.
    """
    types = own_types()
    own = {name: typed(value, types[name], name, where) for name, value in flat.items() if name in types}
    if "model_name_or_path" not in own:
        raise UserError(
            f"{where}: model_name_or_path is missing: a directory, a hub id, or one of {', '.join(sorted(BASES))}."
        )
    for name in ("num_problems", "max_prompt_tokens", "num_processes"):
        if own.get(name) is not None and own[name] < 1:
            raise UserError(f"{where}: {name}={own[name]} should be at least 1.")
    rest = {name: value for name, value in flat.items() if name not in types}
    adapter = adapter_fields(rest, where)
    rest = {name: value for name, value in rest.items() if name not in field_types()}
    training = training_fields(rest, where, own.get("objective", "abc-grpo"))
    return Recipe(**own, adapter=adapter, training=training)


def own_types() -> dict[str, Any]:
    """Name → type of the keys that are the recipe's own."""
    return {name: kind for name, kind in get_type_hints(Recipe).items() if name not in ("adapter", "training")}


def adapter_fields(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The LoRA fields among the values, each of its field's type; empty without `use_peft`.

    Raises:
        UserError: a value of the wrong type, or see `check_fields`.
    """
    types = field_types()
    given = {name: typed(value, types[name], name, where) for name, value in values.items() if name in types}
    check_fields(given, where)
    return given if given.get(SWITCH) else {}


def training_fields(values: dict[str, Any], where: str, objective: Objective) -> dict[str, Any]:
    """The values, each of its field's type, that the trainer's configuration would be given.

    Raises:
        UserError: an unknown field (with the nearest known one), a value of the wrong type, or a secret.
    """
    configuration = configuration_class(objective)
    hints = get_type_hints(configuration)
    types = {item.name: hints[item.name] for item in fields(configuration) if item.init}
    for name in values:
        if name not in types and name in get_type_hints(Boundaries):
            raise UserError(
                f"{where}: {name} is a threshold of ABC-GRPO. With objective: trl the loss is TRL's, whose bounds are "
                f"epsilon and epsilon_high."
            )
        refuse_quantization(name, where)
        if name not in types:
            raise unknown_name("key", name, [*types, *own_types(), *field_types()], where)
    if values.get("hub_token"):
        raise UserError(
            f"{where}: hub_token is a secret, and what a recipe says is written into run.json: leave it out, and log "
            f"in with `hf auth login` or set HF_TOKEN."
        )
    return {name: typed(value, types[name], name, where) for name, value in values.items()}


def configuration_class(objective: Objective) -> "type[FastGRPOConfig]":
    """What the trainer of an objective is configured with."""
    from abcgrpo.trl.config import ABCGRPOConfig, FastGRPOConfig  # loads trl: not before there are fields to check

    return ABCGRPOConfig if objective == "abc-grpo" else FastGRPOConfig


def typed(value: Any, kind: Any, name: str, where: str) -> Any:
    """`value` as a `kind`: text from a command line becomes the number or truth value that is wanted.

    Raises:
        UserError: it cannot be.
    """
    try:
        return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise UserError(f"{where}: {name}={value!r} is not usable: {reason[0].lower()}{reason[1:]}.") from None
