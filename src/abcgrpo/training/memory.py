"""How much memory of a GPU a recipe takes: an estimate from the model's shape, with its formulas. Nothing is loaded.

P parameters, and A of an adapter, with which those of the base are frozen; L layers, width h, H query and K key-value
heads of size d, feed-forward width I, vocabulary V; n processes; m micro-batch tokens = per_device_train_batch_size ×
(longest prompt + max_completion_length); b bytes per activation. What the estimate leaves out: buffers of the
communication library, fragmentation, the activations inside an adapter, and, under ZeRO-3 and FSDP2, the one layer that
is gathered at a time.
"""

from dataclasses import dataclass
from typing import Any

from abcgrpo.tasks import resolve_model
from abcgrpo.tasks.sources import from_hub
from abcgrpo.training.adapter import with_adapter

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
ADAPTER_STATE = {
    "DDP": ("{w}·P + 16·A", lambda p, a, w, n: w * p + 16 * a),
    "ZeRO-2": ("2·P + 2·A + 14·A/n", lambda p, a, w, n: 2 * p + 2 * a + 14 * a / n),
    "ZeRO-3": ("(2·P + 16·A)/n", lambda p, a, w, n: (2 * p + 16 * a) / n),
    "FSDP2": ("({w}·P + 16·A)/n", lambda p, a, w, n: (w * p + 16 * a) / n),
}
"""The same with an adapter: a frozen parameter has neither gradient nor moments. It takes w bytes, those in which the
base is loaded (4, unless `model_init_kwargs` name another `dtype`); with DeepSpeed 2."""

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


@dataclass(frozen=True)
class Size:
    """Parameters of a model, shared ones once."""

    base: int
    """P, without an adapter's."""
    adapter: int = 0
    """A, which alone are trained where there are any, modules that are trained beside LoRA's matrices included."""
    head_is_trained: bool = True

    @property
    def trained(self) -> int:
        """How many of them have gradients and optimizer state, and are in a checkpoint."""
        return self.adapter or self.base


def model_size(config: Any, adapter: Any = None) -> Size:
    """The size of the model that a configuration describes; none of it is allocated.

    Args:
        config: the model's.
        adapter: PEFT's configuration of one on it; None where the whole model is trained.

    Raises:
        UserError: an adapter that does not fit the model.
    """
    model = with_adapter(config, adapter)
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
    if adapter is None:
        return Size(trained)
    head: Any = model.get_output_embeddings()
    head_is_trained = any(each.requires_grad for each in head.parameters())
    return Size(sum(each.numel() for each in model.parameters()) - trained, trained, head_is_trained)


def estimate_memory(
    config: Any, arguments: Any, prompt_tokens: int | None, num_processes: int, adapter: Any = None
) -> dict[str, Any]:
    """GiB of one GPU: each part with its formula, and the sum for each way to share the training state.

    Args:
        config: of a decoder, with the field names of Qwen3 or Llama.
        arguments: an `ABCGRPOConfig`.
        prompt_tokens: the longest prompt; None if the recipe does not bound it.
        num_processes: how many share the training state.
        adapter: PEFT's configuration of what is trained; None where the whole model is.

    Raises:
        UserError: an adapter that does not fit the model.
    """
    size = model_size(config, adapter)
    parts = {
        "activations": _activations(config, arguments, prompt_tokens),
        "head": _head(config, arguments, size.head_is_trained),
    }
    besides = sum(part["bytes"] for part in parts.values())
    vllm = _vllm(config, arguments, prompt_tokens, size.base)
    share = vllm["share_of_gpu"] if vllm else 0.0
    for_sampling = (vllm["weights_gib"] + vllm["cache_gib_per_longest_response"]) / share if vllm else 0.0
    training = {}
    for name, (formula, state) in _states(size, arguments, num_processes).items():
        total = state + besides
        training[name] = {
            "state_gib": _gib(state),
            "state_formula": formula,
            "training_gib": _gib(total),
            "smallest_gpu_gib": max(_gib(total / (1 - share)), round(for_sampling, 2)),
        }
    return {
        "parameters": size.base,
        "adapter_parameters": size.adapter,
        **{name: {"gib": _gib(part["bytes"]), "formula": part["formula"]} for name, part in parts.items()},
        "vllm": vllm,
        "per_gpu": training,
    }


def _states(size: Size, arguments: Any, num_processes: int) -> dict[str, tuple[str, float]]:
    """For each way to share the training state its formula and its bytes."""
    if not size.adapter:
        return {name: (formula, state(size.base, num_processes)) for name, (formula, state) in STATE.items()}
    dtype = str((arguments.model_init_kwargs or {}).get("dtype", "float32")).removeprefix("torch.")
    weight = 2 if dtype in ("bfloat16", "float16") else 4
    return {
        name: (formula.format(w=weight), state(size.base, size.adapter, weight, num_processes))
        for name, (formula, state) in ADAPTER_STATE.items()
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


def _head(config: Any, arguments: Any, is_trained: bool) -> dict[str, Any]:
    """A tile of logits, the gathered head, and its float32 gradient: all logits together are never held."""
    size = _bytes(arguments)
    weight = config.vocab_size * config.hidden_size
    if not is_trained:
        return {"bytes": HEAD_TILE * size + weight * size, "formula": "4096·32768·b + V·h·b"}
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
