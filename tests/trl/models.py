"""A tiny Qwen3 with random weights: nothing to download."""

from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM


def tiny_qwen3(seed: int = 0, **changes: Any) -> Qwen3ForCausalLM:
    """Two layers, 4 query and 2 key heads of size 16; `changes` are fields of its configuration."""
    torch.manual_seed(seed)
    sizes = {
        "vocab_size": 50,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 128,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }
    return Qwen3ForCausalLM(Qwen3Config(**(sizes | changes)))
