"""Which layout a model can be given: what its configuration promises, and what a small copy of it does.

A configuration alone proves nothing: some classes ignore the attention that they are given, some have windows that no
field names. So the configuration says which layouts are worth a try, and the first one is taken with which a small
copy of the model (`replica`) gives the logits that it gives for every row alone, without padding.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from abcgrpo.dropout import attention_dropout
from abcgrpo.trl.update.attention import IMPLEMENTATION, packed_mask, use_varlen_attention, varlen_attn
from abcgrpo.trl.update.head import IGNORED
from abcgrpo.trl.update.layout import Layout, lay_out
from abcgrpo.trl.update.replica import SMALL_WINDOW, WINDOW, small_copy

ROTARY_TYPES = {"default", "linear", "llama3", "yarn"}
"""Rotary embeddings that depend on the distance of two tokens only, not on the width of the batch."""

FLASH_HEAD_SIZE = 256
"""The largest head that FlashAttention takes."""

_WEIGHT_ADAPTERS = """
    LORA ADALORA BOFT C3A DELORA FOURIERFT HRA IA3 LN_TUNING LOHA LOKR MISS OFT OSF RANDLORA ROAD SHIRA
    TRAINABLE_TOKENS VBLORA VERA WAVEFT
"""
WEIGHT_ADAPTERS = frozenset(_WEIGHT_ADAPTERS.split())
"""PEFT's methods that change weights, and so treat a token alike wherever its row stands."""

LENGTHS = (3 * SMALL_WINDOW, 5 * SMALL_WINDOW, 2 * SMALL_WINDOW + 1)
"""Tokens of the rows on which a layout is tried; all are longer than the copy's windows."""

TOLERANCE = 1e-4
"""Largest difference of two logits ÷ largest logit. Rounding is about 1e-6; a window too many is about 1."""


def choose_layout(model: PreTrainedModel, autocast: bool, adapters: Mapping[str, Any]) -> tuple[Layout, str]:
    """The best layout that gives this model's own log-probabilities, and why it is not a better one ("" if none is).

    Args:
        model: as it is trained, without its wrappers.
        autocast: its passes run in 16-bit numbers whatever its own type.
        adapters: PEFT's configurations of those on it, by name.
    """
    worth_a_try, reason = _promised(model, autocast, adapters)
    if not worth_a_try:
        return "stock", reason
    reasons = [reason] if reason else []
    attention = "eager" if model.config._attn_implementation == "eager" else "sdpa"
    try:
        copied = small_copy(model, attention)
        alone = _logits_alone(copied)
    except Exception as error:  # remote code among them, which may raise anything
        return "stock", "; ".join([*reasons, f"a small copy of the model cannot be run ({_first_line(error)})"])
    for layout in worth_a_try:
        failure = _failure(copied, layout, alone)
        if not failure:
            return layout, "; ".join(reasons)
        reasons.append(f"{layout} rows {failure}")
    return "stock", "; ".join(reasons)


def beyond_weights(adapters: Mapping[str, Any]) -> str:
    """The first of PEFT's adapters that does more than change weights, by its kind; "" if all change weights only."""
    for adapter in adapters.values():
        kind = getattr(adapter.peft_type, "value", adapter.peft_type)
        if kind not in WEIGHT_ADAPTERS or getattr(adapter, "alora_invocation_tokens", None):
            return kind
    return ""


def _promised(model: PreTrainedModel, autocast: bool, adapters: Mapping[str, Any]) -> tuple[list[Layout], str]:
    """The layouts that the configuration does not speak against, best first, and why others are not among them."""
    config = model.config.get_text_config(decoder=True)
    if more := beyond_weights(adapters):
        return [], f"the adapter ({more}) does more than change weights"
    rotary = vars(config).get("rope_parameters")
    if not isinstance(rotary, dict) or not rotary or _rotary_types(rotary) - ROTARY_TYPES:
        return [], "the model's positions are not plain rotary ones, so its outputs depend on the padding"
    flushed: list[Layout] = ["flushed"]
    fields = vars(config)
    if set(fields.get("layer_types") or ["full_attention"]) != {"full_attention"}:
        return flushed, "some layers are not full attention"
    if config.is_heterogeneous:
        return flushed, "layers have configurations of their own"
    if windows := sorted(name for name, value in fields.items() if WINDOW.search(name) and _is_number(value)):
        return flushed, f"attention may be restricted to a window ({', '.join(windows)})"
    if attention_dropout(config):
        return flushed, "the model has attention dropout"
    implementation = model.config._attn_implementation or ""
    if "flash" in implementation:
        return ["packed", "flushed"], ""  # transformers passes the limits of packed rows to FlashAttention itself
    if implementation not in ("sdpa", IMPLEMENTATION):
        return flushed, f"attention implementation {implementation!r} cannot be told where packed rows end"
    unserved = _unserved_on_gpu(model, autocast) if next(model.parameters()).is_cuda else ""
    return (flushed, unserved) if unserved else (["packed", "flushed"], "")


def _unserved_on_gpu(model: PreTrainedModel, autocast: bool) -> str:
    config = model.config.get_text_config(decoder=True)
    half = autocast or model.dtype.itemsize == 2
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if varlen_attn is None:
        return f"torch {torch.__version__} has no variable-length attention"
    if torch.cuda.get_device_capability()[0] < 8 or head_size > FLASH_HEAD_SIZE or not half:
        return "FlashAttention needs an Ampere GPU or newer, 16-bit numbers and heads of at most 256"
    return ""


def _rotary_types(rotary: dict) -> set[str]:
    """The rotary type, or those of every kind of layer where a model has several."""
    nested = [value for value in rotary.values() if isinstance(value, dict)]
    return {kind.get("rope_type", "default") for kind in (nested or [rotary])}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


# -- what a small copy does --------------------------------------------------------------------------------------------


def _rows(model: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """Ids and mask of rows as TRL pads them: one prompt token each, the rest is completion."""
    lengths = torch.tensor(LENGTHS)
    mask = torch.arange(max(LENGTHS)) < lengths[:, None]
    words = model.config.get_text_config(decoder=True).vocab_size
    ids = torch.randint(min(3, words - 1), words, mask.shape, generator=torch.Generator().manual_seed(0))
    return ids, mask.long()


@torch.no_grad()
def _logits_alone(model: PreTrainedModel) -> Tensor:
    """Logits of every token but the last of each row, the rows run one by one; (tokens, vocabulary)."""
    rows = zip(*_rows(model), strict=True)
    return torch.cat([model(input_ids=ids[mask.bool()][None], use_cache=False).logits[0, :-1] for ids, mask in rows])


@torch.no_grad()
def _failure(model: PreTrainedModel, layout: Layout, alone: Tensor) -> str:
    """What goes wrong when a model is given rows in this layout; "" if its logits are those of every row `alone`."""
    ids, mask = _rows(model)
    laid_out = lay_out(ids, mask, ids.size(1) - 1, layout)
    inputs: dict[str, Any] = dict(laid_out.model_inputs)
    try:
        if layout == "packed":
            use_varlen_attention(model)
            inputs |= packed_mask(model, ids.device)
        logits = model(**inputs, use_cache=False).logits
    except Exception as error:  # as above
        return f"are an error in a small copy of the model ({_first_line(error)})"
    difference = ((logits[:, :-1][laid_out.labels[:, 1:] != IGNORED] - alone).abs().max() / alone.abs().max()).item()
    if difference <= TOLERANCE:
        return ""
    return f"change the logits of a small copy of the model by {difference:.0e} of the largest"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
