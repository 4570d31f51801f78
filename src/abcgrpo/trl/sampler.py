"""The numbers in which vLLM computes beside the trainer: chosen for the sampler in the trainer's process, and known."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trl.generation import vllm_generation

from abcgrpo.trl.config import option

logger = logging.getLogger(__name__)

HOST: Any = vllm_generation
"""Where TRL finds the class of the colocated vLLM, as `LLM`; without vLLM there is none."""

UNDER_AUTOCAST = {"bf16": "bfloat16", "fp16": "float16"}
"""Dtypes of a trainer by accelerate's mixed precision; without it, that of its weights."""


def trainers_dtype(trainer: Any) -> str:
    """Dtype of the trainer's forward pass."""
    weights = str(trainer.model.dtype).removeprefix("torch.")
    return UNDER_AUTOCAST.get(trainer.accelerator.mixed_precision, weights)


@contextmanager
def sampler_in_chosen_dtype(trainer: Any) -> Iterator[None]:
    """Inside, TRL's colocated vLLM is built in `vllm_dtype`: by default the trainer's dtype.

    TRL names none, and vLLM by itself takes bfloat16 for weights in float32.
    """
    built = getattr(HOST, "LLM", None)
    if built is None:
        yield
        return

    def build(**arguments: Any) -> Any:
        chosen = option(trainer.args, "vllm_dtype")
        return built(dtype=trainers_dtype(trainer) if chosen == "auto" else chosen, **arguments)

    HOST.LLM = build
    try:
        yield
    finally:
        HOST.LLM = built


def sampler_dtype(trainer: Any) -> str | None:
    """Dtype that vLLM reports; None if transformers samples, or another process asks.

    A server was started by somebody else: if its dtype is not the trainer's, that is logged.
    """
    if not trainer.use_vllm or not trainer.accelerator.is_main_process:
        return None
    generation = trainer.vllm_generation
    if trainer.vllm_mode == "colocate":
        found = generation.llm.llm_engine.model_config.dtype
    else:
        found = generation.vllm_client.get_server_info()["model_config"]["dtype"]
    dtype = str(found).removeprefix("torch.")
    if trainer.vllm_mode == "server" and dtype != (ours := trainers_dtype(trainer)):
        logger.warning(
            "The vLLM server computes in %s, the trainer in %s: start it with --dtype %s.", dtype, ours, ours
        )
    return dtype
