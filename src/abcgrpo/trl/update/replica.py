"""A small copy of a model: its class and configuration with few, narrow layers and random weights.

It shows in a fraction of a second, on a CPU and whatever holds the real weights (ZeRO-3, FSDP, quantization), how the
class treats the rows that it is given. Windows and chunks shrink with the rest, so that short rows reach past them.
"""

import copy
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

WINDOW = re.compile(r"window(?!_layers)|attention_chunk|local_att|attn_chunk")
"""Fields of a configuration that restrict which tokens a token attends to."""

SMALL_WINDOW = 4
"""Tokens that a copy's windows and chunks hold."""

SMALL_VOCABULARY = 64

_LAYERS = re.compile(r"^(num_(hidden_|encoder_|decoder_)?layers|(encoder|decoder)_layers|n_layers?|num_blocks)$")
_SIZES = {
    re.compile(pattern): size
    for pattern, size in {
        r"vocab_size|_vocab$|ngram_vocab": SMALL_VOCABULARY,
        r"^n_mamba_heads$|^mamba_(n|num)_heads$|^rotary_dim$": 8,
        r"^mamba_.*head_?(dim)?$": 16,
        r"^(num|n|attention|(num_)?(encoder|decoder)(_attention)?|num_attention|num_query)_(heads?|groups)$": 4,
        r"(hidden_size|d_model|n_embd|embedding_dim|emb_dim|embed_proj_dim|embedding_size|lru_width)$": 64,
        r"(intermediate_size|ffn_dim|ffn_hidden_size|d_inner|n_inner|dim_ff|dff|size_mlp|feed_forward_size)$": 96,
        r"^qk_head_dim$": 32,
        r"^(head_dim|qk_nope_head_dim|qk_rope_head_dim|v_head_dim|d_kv|d_head|dim_head|kv_channels)$": 16,
        r"lora_rank$": 32,
        r"experts$|^zero_expert_num$": 4,
        r"^(num_experts_per_tok(en)?|(moe_)?top_?k|moe_k|topk_group|n_group|num_expert_group|index_topk)$": 2,
        r"^(first_k_dense_replace|num_dense_layers|(attn|expert)_layer_offset)$": 1,
        r"^(attn|expert)_layer_period$": 2,
    }.items()
}
"""Fields by their names, and what they are at most in a copy."""


def small_copy(model: PreTrainedModel, attention: str) -> PreTrainedModel:
    """A model of the same class with `shrunken` configuration, on the CPU in float32; leaves random numbers alone.

    Args:
        model: only its class and configuration are used.
        attention: the attention implementation of the copy.

    Raises:
        Exception: of any kind, by a class whose copy cannot be built.
    """
    config = shrunken(model.config)
    config._attn_implementation = attention
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(0)
        copied = type(model)(config).float()
        for weight in copied.parameters():
            if weight.dim() > 1:  # as made, layers hardly change what passes through them
                nn.init.normal_(weight, std=weight.size(-1) ** -0.5)
    return copied.eval()


def shrunken(config: PretrainedConfig) -> PretrainedConfig:
    """A copy of `config` with small sizes and windows, no dropout, and one layer of every kind, at least two."""
    config = copy.deepcopy(config)
    for part in _parts(config):
        layers = part.__dict__.pop("_heterogeneity_spec", None)  # fields of which layers have their own
        layers = layers.per_layer_overrides if layers else {}
        shared_keys = any(vars(part).get(name) != vars(part).get("num_attention_heads") for name in _key_heads(part))
        layers = _keep_a_layer_of_each_kind(part, layers)
        for name, value in vars(part).items():
            setattr(part, name, _smaller(name, value))
        for name in _key_heads(part):  # where no two query heads share a key head, a class may rely on it
            setattr(part, name, min(vars(part)[name], 2 if shared_keys else 4))
        if layers:
            own = {layer: {name: _smaller(name, value) for name, value in layers[layer].items()} for layer in layers}
            part.per_layer_config = own  # pyright: ignore[reportAttributeAccessIssue]
    return config


def _parts(config: PretrainedConfig) -> list[PretrainedConfig]:
    """The configuration and all within it."""
    nested = [value for value in vars(config).values() if isinstance(value, PretrainedConfig)]
    return [config, *(part for value in nested for part in _parts(value))]


def _key_heads(config: PretrainedConfig) -> list[str]:
    """Fields that hold the number of key heads."""
    return [name for name in ("num_key_value_heads", "num_kv_heads") if isinstance(vars(config).get(name), int)]


def _smaller(name: str, value: Any) -> Any:
    if isinstance(value, float) and ("drop" in name or "jitter" in name):
        return 0.0
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if WINDOW.search(name):
        return min(value, SMALL_WINDOW)
    if name.endswith("_token_id"):
        return min(value, 2)
    return next((min(value, size) for pattern, size in _SIZES.items() if pattern.search(name)), value)


def _keep_a_layer_of_each_kind(config: PretrainedConfig, own: Mapping[int, Any]) -> dict[int, Any]:
    """Cut the number of layers, and every list with one entry for each of them.

    Args:
        config: is changed.
        own: fields of which layers have their own, by layer.

    Returns:
        `own` of the layers that are left, by their new places.
    """
    fields = vars(config)
    for name, layers in list(fields.items()):
        if not _LAYERS.match(name) or not isinstance(layers, int) or layers <= 2:
            continue
        lists = {key: value for key, value in fields.items() if isinstance(value, list) and len(value) == layers}
        kinds = [str([own.get(layer), *(values[layer] for values in lists.values())]) for layer in range(layers)]
        kept = sorted({*(kinds.index(kind) for kind in kinds), 0, 1})
        for key, values in lists.items():
            setattr(config, key, [values[layer] for layer in kept])
        setattr(config, name, len(kept))
        own = {place: own[layer] for place, layer in enumerate(kept) if layer in own}
    return dict(own)
