"""PEFT's adapters on a model that is trained: which there are, as they were resolved, and what of it is trained."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from accelerate import Accelerator

ELSEWHERE = ("base_model_name_or_path", "revision", "inference_mode", "auto_mapping", "peft_version")
"""What PEFT's configurations say of a base, a state or a version, which are recorded in places of their own."""
ALWAYS = ("peft_type", "r", "lora_alpha", "lora_dropout")
"""What is told of an adapter also where it is PEFT's default."""


def adapters_of(accelerator: Accelerator, model: Any) -> Mapping[str, Any]:
    """PEFT's configurations of a model's adapters, by name; empty where the whole model is trained."""
    return getattr(accelerator.unwrap_model(model), "peft_config", {})


def adapter_settings(adapter: Any) -> dict[str, Any]:
    """For JSON, the settings of an adapter as they were resolved: those of `ALWAYS`, and what is not PEFT's default."""
    defaults = {each.name: _default(each) for each in fields(adapter)}
    values = {name: value for name, value in adapter.to_dict().items() if name not in ELSEWHERE}
    return {
        name: _for_json(value)
        for name, value in values.items()
        if value is not None and (name in ALWAYS or value != defaults.get(name))
    }


def count_trained(model: Any) -> int:
    """Parameters that are trained."""
    return sum(numel(each) for each in model.parameters() if each.requires_grad)


def numel(parameter: Any) -> int:
    """Of the whole parameter: ZeRO-3 shares it out and says 0."""
    return getattr(parameter, "ds_numel", parameter.numel())


def _default(item: Field) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def _for_json(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else getattr(value, "value", value)
