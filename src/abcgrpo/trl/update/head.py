"""Log-probs of labelled tokens, from TRL's fused head or from all of their logits at once.

The fused head goes over the vocabulary in tiles and computes each tile a second time in the backward pass, so that no
pass holds all logits of a large vocabulary. Where all of them fit into one tile it saves nothing: it holds them anyway,
several times over on a CPU, and pays for a second product. On a CPU it also scores prompts and padding. There the
logits of the labelled tokens are computed once, by the model's own head, and their log-probs kept until the backward
pass.
"""

from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

IGNORED = -100
"""The label of a position that is not scored."""

TILE_TOKENS, TILE_WORDS = 4096, 32768
"""A tile of TRL 1.16's fused head."""


def why_fused(model: PreTrainedModel) -> str:
    """Why TRL's fused head serves this model better than `score_from_logits`, or not the same; "" if neither is so.

    In 16-bit numbers the fused head adds gradients up more exactly than the model's own head does, and on a GPU its
    kernels cost less than reading logits back. With an adapter on the head the two are not the same function.
    """
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear:
        return "the model's head is not a plain linear layer"
    if head.out_features > TILE_WORDS:
        return f"the vocabulary has more than {TILE_WORDS:,} words"
    if head.weight.device.type != "cpu" or not head.weight.dtype == model.dtype == torch.float32:
        return "TRL's fused head is used on a GPU and in 16-bit numbers"
    if "logits_to_keep" not in signature(type(model).forward).parameters:
        return "the model cannot be asked for some of its logits"
    return ""


def score_fused(model: Any, inputs: dict[str, Any], labels: Tensor) -> tuple[Tensor, Tensor | None]:
    """Log-probs and entropies of the labelled tokens by TRL's fused head; both (tokens,), float32.

    Args:
        model: as TRL has prepared it (`add_fused_lm_head`), wrappers included.
        inputs: its arguments, for rows of any layout.
        labels: like `input_ids`, IGNORED where a token is not scored.

    Returns:
        The entropies are None if the head was set up without them, as a reference model's is.
    """
    output = model(**inputs, labels=labels, fused_lm_head=True)
    scored = labels[:, 1:] != IGNORED
    columns = slice(-scored.size(1), None)  # PEFT's prompt tuning puts tokens of its own before each row
    entropies = None if output.entropy is None else output.entropy[:, columns][scored].float()
    return output.log_probs[:, columns][scored].float(), entropies


def score_from_logits(
    model: Any, inputs: dict[str, Any], labels: Tensor, *, temperature: float, entropy: bool
) -> tuple[Tensor, Tensor | None]:
    """The same from the logits of the labelled tokens; entropies on demand, and without gradient.

    Args:
        model: one without a reason for the fused head (`why_fused`), wrappers included.
        inputs: its arguments, for a single row (as packed rows are).
        labels: (1, N).
        temperature: logits are divided by it.
        entropy: whether to compute entropies.
    """
    targets = labels[0, 1:]
    scored = (targets != IGNORED).nonzero().squeeze(1)
    logits = model(**inputs, logits_to_keep=scored, use_cache=False).logits[0]
    logprobs = torch.log_softmax(logits if temperature == 1.0 else logits / temperature, dim=-1)
    entropies = None
    if entropy:
        with torch.no_grad():
            entropies = -(logprobs.exp() * logprobs).sum(-1)
    return logprobs.gather(1, targets[scored].unsqueeze(1)).squeeze(1), entropies
