"""Dropout in a model of transformers, its adapters' included."""

import re
from typing import Any

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

_ATTENTION_DROPOUT = re.compile(r"att.*(drop|pdrop)")


def active_dropout(model: nn.Module) -> str:
    """Which dropout is on in a model while it is trained, in words; "" for none.

    With it every pass is a draw: the ratio of a policy to itself is 1 only within one pass, and what several answers
    begin with is not the same for all of them.
    """
    if any(module.p > 0 for module in model.modules() if isinstance(module, _DropoutNd)):
        return "dropout is on"
    config: Any = getattr(model, "config", None)
    return "attention dropout is on" if config and attention_dropout(config.get_text_config(decoder=True)) else ""


def attention_dropout(config: Any) -> bool:
    """Whether a configuration asks for dropout of attention weights, by whatever name."""
    named = [value for name, value in vars(config).items() if _ATTENTION_DROPOUT.search(name)]
    return any(isinstance(value, int | float) and not isinstance(value, bool) and value > 0 for value in named)
