"""LoRA by TRL's names: the fields of a recipe, what PEFT makes of them, and the mistakes that can be found beforehand.

The fields and their defaults are those of TRL's `ModelConfig`, and TRL's `get_peft_config` reads them. Training a
quantized base is refused: a checkpoint would be measured on the base in full precision, which is another model than the
one that was trained.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, get_type_hints

from abcgrpo.errors import UserError

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PretrainedConfig, PreTrainedModel

    from abcgrpo.training.recipe import Recipe
    from abcgrpo.trl import FastGRPOConfig

SWITCH = "use_peft"
"""Without it TRL ignores all others."""
QUANTIZATION = ("load_in_8bit", "load_in_4bit", "bnb_4bit_quant_type", "use_bnb_nested_quant", "bnb_4bit_quant_storage")
"""TRL's fields for a base of bitsandbytes' few bits."""


def field_types() -> dict[str, Any]:
    """Name → type of TRL's LoRA fields. Modules may be named by one text, as TRL's documentation has it."""
    from trl.trainer.model_config import ModelConfig

    hints = get_type_hints(ModelConfig)
    names = [name for name in hints if name.startswith("lora_") or name in (SWITCH, "use_rslora", "use_dora")]
    several = dict.fromkeys(("lora_target_modules", "lora_target_parameters"), str | list[str] | None)
    return {name: hints[name] for name in names} | several


def check_fields(values: dict[str, Any], where: str) -> None:
    """Refuse fields that TRL would ignore, or that no policy can be trained with.

    Args:
        values: those that are set.
        where: where they stand, for errors.

    Raises:
        UserError: one of them; the message says what to do.
    """
    if not values.get(SWITCH):
        for name in values.keys() - {SWITCH}:
            raise UserError(f"{where}: {name} has no effect without {SWITCH}: true: set that too, or leave it out.")
    if (kind := values.get("lora_task_type", "CAUSAL_LM")) != "CAUSAL_LM":
        raise UserError(f"{where}: lora_task_type={kind!r} is no language model: leave it out.")


def refuse_quantization(name: str, where: str) -> None:
    """Say why a field of `QUANTIZATION` is not taken.

    Raises:
        UserError: if it is one.
    """
    if name in QUANTIZATION:
        raise UserError(
            f"{where}: {name} is not supported: checkpoints would be evaluated on the base in full precision, which is "
            f"another model than the one that was trained. Leave it out, and load the base in half of its memory with "
            f"model_init_kwargs: {{dtype: bfloat16}}; in a script of yours the trainer takes quantization_config."
        )


def adapter_of(recipe: "Recipe") -> "PeftConfig | None":
    """What PEFT is told; None for a recipe that trains the whole model.

    Raises:
        UserError: fields that PEFT does not take together.
    """
    from trl.trainer.model_config import ModelConfig
    from trl.trainer.utils import get_peft_config

    if not recipe.adapter:
        return None
    try:
        return get_peft_config(ModelConfig(**recipe.adapter))
    except (ValueError, TypeError) as error:
        raise UserError(f"The recipe's LoRA fields do not fit together: {error}") from error


def check_adapter(recipe: "Recipe", arguments: "FastGRPOConfig") -> None:
    """Refuse options of the trainer that no adapter can be trained with.

    Raises:
        UserError: one of them.
    """
    if recipe.adapter and arguments.sync_ref_model:
        raise UserError(
            "sync_ref_model has nothing to synchronize with use_peft: the reference is the base without its adapter. "
            "Leave it out."
        )


def missing_for_adapter(recipe: "Recipe") -> list[str]:
    """What training an adapter needs and this environment lacks, in sentences with what to do."""
    if recipe.adapter and find_spec("peft") is None:
        return ["use_peft: PEFT is not installed here. Install it with `pip install 'abcgrpo[peft]'`."]
    return []


def with_adapter(config: "PretrainedConfig", adapter: "PeftConfig | None") -> "PreTrainedModel":
    """The model that a configuration describes, with an adapter in it, and none of its weights allocated.

    Raises:
        UserError: the adapter does not fit the model: it names modules that there are not, or the head.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
        model.tie_weights()
        if adapter is None:
            return model
        from peft import get_peft_model
        from peft.tuners.tuners_utils import BaseTunerLayer

        try:
            model = get_peft_model(model, adapter).get_base_model()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"use_peft: the adapter does not fit the model: {error}") from error
    if isinstance(model.get_output_embeddings(), BaseTunerLayer):
        raise UserError(
            "lora_target_modules: an adapter on the head (lm_head) would not be trained, since the trainer multiplies "
            "by the head's weights itself. Leave it out, or name it in lora_modules_to_save, which trains all of it."
        )
    return model
