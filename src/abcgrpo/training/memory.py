"""How much memory of a GPU a recipe takes: an estimate from the model's shape, with its formulas. Nothing is loaded.

P parameters, L layers, width h, H query and K key-value heads of size d, feed-forward width I, vocabulary V; n
processes; m micro-batch tokens = per_device_train_batch_size × (longest prompt + max_completion_length); b bytes per
activation. What the estimate leaves out: buffers of the communication library, fragmentation, and, under ZeRO-3 and
FSDP2, the one layer that is gathered at a time.
"""

from typing import Any

from abcgrpo.tasks import resolve_model
from abcgrpo.tasks.sources import from_hub

GIB = 2**30

KNOWN_SHAPES: dict[str, dict[str, Any]] = {
    "Qwen/Qwen3-1.7B-Base": {
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
    "Qwen/Qwen3-4B-Base": {
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
}
"""The models of the shipped recipes, so that their estimate needs no hub."""

STATE = {
    "DDP": ("16·P", lambda p, n: 16 * p),
    "ZeRO-2": ("2·P + 14·P/n", lambda p, n: 2 * p + 14 * p / n),
    "ZeRO-3": ("16·P/n", lambda p, n: 16 * p / n),
    "FSDP2": ("16·P/n", lambda p, n: 16 * p / n),
}
"""Weights, gradients and Adam's two moments, in bytes. Mixed precision keeps 16 bytes of a parameter whether the
weights are float32 under autocast (4 + 4 + 8) or bfloat16 with a float32 copy (2 + 2 + 4 + 8)."""

HEAD_TILE = 4096 * 32768
"""Logits that TRL's fused head holds at once (tokens × words)."""
PROMPT_TOKENS = 1024
"""Taken for the longest prompt where a recipe has no max_prompt_tokens."""


def model_config(name: str) -> Any:
    """The configuration of a model: from a directory, from what is known, or from the hub; never its weights.

    Raises:
        UserError: it cannot be loaded; a `HubError` if the hub has it and cannot be reached.
    """
    from transformers import AutoConfig, Qwen3Config

    if name in KNOWN_SHAPES:
        return Qwen3Config(**KNOWN_SHAPES[name])
    try:
        return AutoConfig.from_pretrained(resolve_model(name))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise from_hub(error, f"The configuration of the model {name!r} cannot be loaded: {reason}") from error


def count_parameters(config: Any) -> int:
    """Parameters of the model that a configuration describes, shared ones once; none of them is allocated."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model.tie_weights()
    return sum(parameter.numel() for parameter in model.parameters())


def estimate_memory(config: Any, arguments: Any, prompt_tokens: int | None, num_processes: int) -> dict[str, Any]:
    """GiB of one GPU: each part with its formula, and the sum for each way to share the training state.

    Args:
        config: of a decoder, with the field names of Qwen3 or Llama.
        arguments: an `ABCGRPOConfig`.
        prompt_tokens: the longest prompt; None if the recipe does not bound it.
        num_processes: how many share the training state.
    """
    parameters = count_parameters(config)
    parts = {"activations": _activations(config, arguments, prompt_tokens), "head": _head(config, arguments)}
    besides = sum(part["bytes"] for part in parts.values())
    vllm = _vllm(config, arguments, prompt_tokens, parameters)
    share = vllm["share_of_gpu"] if vllm else 0.0
    for_sampling = (vllm["weights_gib"] + vllm["cache_gib_per_longest_response"]) / share if vllm else 0.0
    training = {}
    for name, (formula, state) in STATE.items():
        total = state(parameters, num_processes) + besides
        training[name] = {
            "state_gib": _gib(state(parameters, num_processes)),
            "state_formula": formula,
            "training_gib": _gib(total),
            "smallest_gpu_gib": max(_gib(total / (1 - share)), round(for_sampling, 2)),
        }
    return {
        "parameters": parameters,
        **{name: {"gib": _gib(part["bytes"]), "formula": part["formula"]} for name, part in parts.items()},
        "vllm": vllm,
        "per_gpu": training,
    }


def _activations(config: Any, arguments: Any, prompt_tokens: int | None) -> dict[str, Any]:
    """With gradient checkpointing the input of every layer and one layer's inside; without, the inside of all."""
    tokens = arguments.per_device_train_batch_size * _longest(arguments, prompt_tokens)
    size = _bytes(arguments)
    heads, kv_heads, head_size = _heads(config)
    h = config.hidden_size
    inside = 4 * h + 2 * (heads + 2 * kv_heads) * head_size + heads * head_size + 4 * config.intermediate_size
    layers = config.num_hidden_layers
    layer = "(4·h + 2·(H + 2·K)·d + H·d + 4·I)"
    if arguments.gradient_checkpointing:
        return {"bytes": tokens * size * (layers * h + inside), "formula": f"m·b·(L·h + {layer})"}
    return {"bytes": tokens * size * layers * inside, "formula": f"m·b·L·{layer}"}


def _head(config: Any, arguments: Any) -> dict[str, Any]:
    """A tile of logits, the gathered head, and its float32 gradient: all logits together are never held."""
    size = _bytes(arguments)
    weight = config.vocab_size * config.hidden_size
    return {"bytes": HEAD_TILE * size + weight * (size + 4), "formula": "4096·32768·b + V·h·(b + 4)"}


def _vllm(config: Any, arguments: Any, prompt_tokens: int | None, parameters: int) -> dict[str, Any] | None:
    """What the sampler needs of its share of the GPU; None if it is not on the trainer's GPUs."""
    if not arguments.use_vllm or arguments.vllm_mode != "colocate":
        return None
    _, kv_heads, head_size = _heads(config)
    size = _bytes(arguments) if arguments.vllm_dtype == "auto" else 4 if arguments.vllm_dtype == "float32" else 2
    token = 2 * config.num_hidden_layers * kv_heads * head_size * size
    return {
        "share_of_gpu": arguments.vllm_gpu_memory_utilization,
        "weights_gib": _gib(size * parameters / arguments.vllm_tensor_parallel_size),
        "weights_formula": f"{size}·P ÷ vllm_tensor_parallel_size",
        "cache_gib_per_longest_response": _gib(token * _longest(arguments, prompt_tokens)),
        "cache_formula": f"{2 * size}·L·K·d · (longest prompt + max_completion_length)",
    }


def _heads(config: Any) -> tuple[int, int, int]:
    heads = config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return heads, getattr(config, "num_key_value_heads", None) or heads, head_size


def _longest(arguments: Any, prompt_tokens: int | None) -> int:
    return (prompt_tokens or PROMPT_TOKENS) + arguments.max_completion_length


def _bytes(arguments: Any) -> int:
    return 2 if arguments.bf16 or arguments.fp16 else 4


def _gib(size: float) -> float:
    return round(size / GIB, 2)
