"""Attention over rows packed one behind the other.

transformers (5.23) separates packed rows only where its attention implementation knows their limits. With `sdpa` it
either builds a dense mask of all tokens by all tokens, or, when the model's cache is on, none at all, and then tokens
attend across rows without a word. So packed rows go through a function of our own, which reads the limits from
`cu_seq_lens_q`, and in the place of a mask they carry one that no other function can use (`packed_mask`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # torch < 2.10
    varlen_attn = None

IMPLEMENTATION = "abcgrpo_varlen"
"""The name of our function among transformers' attention implementations."""

NOT_PACKED = ("sliding_window", "softcap", "s_aux", "position_bias")
"""What layers pass to their attention that packed rows are not given."""


def varlen_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **kwargs,
) -> tuple[Tensor, None]:
    """Causal attention within each packed row; without `cu_seq_lens_q`, transformers' `sdpa` unchanged.

    On a GPU with 16-bit numbers, torch's variable-length FlashAttention; otherwise one call per row.

    Args:
        module: the attention layer, as transformers passes it.
        query: (1, heads, N, size), N tokens of all rows.
        key: (1, key heads, N, size).
        value: (1, key heads, N, size).
        attention_mask: ignored for packed rows.
        dropout: of the attention weights.
        scaling: of the scores.
        cu_seq_lens_q: (rows + 1,), int32: where each row starts, and N.
        max_length_q: tokens of the longest row.
        kwargs: handed to `sdpa`.

    Returns:
        (1, N, heads, size), and None in the place of attention weights.

    Raises:
        NotImplementedError: packed rows for a layer that asks for more than full causal attention.
    """
    if cu_seq_lens_q is None or max_length_q is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    asked = [name for name in NOT_PACKED if kwargs.get(name) is not None]
    asked += ["dropout"] * (dropout > 0) + ["attention to later tokens"] * (not getattr(module, "is_causal", True))
    if asked:
        raise NotImplementedError(f"packed rows get full causal attention, and this layer asks for {', '.join(asked)}")
    grouped = query.size(1) != key.size(1)
    if query.is_cuda and torch.is_autocast_enabled("cuda"):  # as it would do itself around `sdpa`
        query, key, value = (states.to(torch.get_autocast_dtype("cuda")) for states in (query, key, value))
    if query.is_cuda and query.element_size() == 2 and varlen_attn is not None:
        q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
        limits = (cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q)
        mixed = varlen_attn(q, k, v, *limits, scale=scaling, window_size=(-1, 0), enable_gqa=grouped)
        assert isinstance(mixed, Tensor)
        return mixed.unsqueeze(0), None
    sizes = cu_seq_lens_q.diff().tolist()
    rows = zip(*(states.split(sizes, dim=2) for states in (query, key, value)), strict=True)
    mixed = [
        F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=grouped) for q, k, v in rows
    ]
    return torch.cat(mixed, dim=2).transpose(1, 2), None


def use_varlen_attention(model: PreTrainedModel) -> None:
    """Let `model` attend with `varlen_attention`; nothing changes for rows that are not packed.

    For good, not only around a packed pass: gradient checkpointing runs the layers again during the backward pass.
    """
    if model.config.get_text_config()._attn_implementation == "sdpa":
        AttentionInterface.register(IMPLEMENTATION, varlen_attention)
        AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
        model.set_attn_implementation(IMPLEMENTATION)


def packed_mask(model: PreTrainedModel, device: torch.device) -> dict[str, Tensor]:
    """The mask to pass with packed rows: a 4-D one, which transformers hands through, and that nothing broadcasts with.

    It keeps transformers from building a dense one, and if a model drops `cu_seq_lens_q` on the way to its attention,
    it makes that an error instead of a wrong number. FlashAttention implementations want no mask at all.
    """
    if model.config.get_text_config()._attn_implementation != IMPLEMENTATION:
        return {}
    return {"attention_mask": torch.empty(1, 1, 0, 0, dtype=torch.bool, device=device)}
