"""A nest of dictionaries, lists, numbers and tensors as JSON beside one safetensors file: nothing in it is executed."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

_TENSOR, _NUMBER = "__tensor__", "__number__"


def save_packed(value: Any, stem: Path) -> None:
    """Write `<stem>.json` and `<stem>.safetensors`.

    Raises:
        TypeError: something in it is neither of these, nor text, a truth value or None; the message says where.
    """
    tensors: dict[str, Tensor] = {}
    content = _packed(value, "", tensors)
    save_file(tensors, stem.with_suffix(".safetensors"))
    stem.with_suffix(".json").write_text(json.dumps(content, allow_nan=False), encoding="utf-8")


def packable(value: Any) -> Any:
    """The value as `save_packed` can keep it, for what is only shown: numpy's numbers as Python's, the rest as None.

    None, not text, so that a column of dates or images stays one of that kind when it is shown with later rows.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {str(key): packable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [packable(item) for item in value]
    return value if value is None or isinstance(value, Tensor | str | bool | int | float) else None


def load_packed(stem: Path, device: torch.device | str = "cpu") -> Any:
    """What `save_packed` wrote: equal bit for bit, with lists for tuples, and tensors on `device`."""
    loaded = load_file(stem.with_suffix(".safetensors"))
    tensors = {name: tensor.to(device) for name, tensor in loaded.items()}
    return _unpacked(json.loads(stem.with_suffix(".json").read_text(encoding="utf-8")), tensors)


def _packed(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[place] = value.detach().cpu().contiguous().clone()  # a view of a larger one would bring all of it
        return {_TENSOR: place}
    if isinstance(value, dict):
        return {_text(key, place): _packed(item, f"{place}/{key}", tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(item, f"{place}/{index}", tensors) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        return {_NUMBER: str(value)}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{place or 'the value'} is a {type(value).__name__}, which cannot be kept")


def _text(key: Any, place: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{place or 'the value'} has the key {key!r}, which is no text")
    return key


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _NUMBER in value:
        return float(value[_NUMBER])
    return {key: _unpacked(item, tensors) for key, item in value.items()}
