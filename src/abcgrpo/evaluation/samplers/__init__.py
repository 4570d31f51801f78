"""Who draws answers. All are called alike: prompts and a seed for each in, answers out, in order.

A sampler draws the same answers when it is given the same batch with the same seeds, as far as its engine can.
"""

import gc
from collections.abc import Sequence
from typing import Any, Protocol

from abcgrpo.errors import unknown_name
from abcgrpo.evaluation.sampling import Sample, Sampling
from abcgrpo.tasks.prompts import Prompt

BATCH_SIZES = {"transformers": 64, "vllm": 1024, "server": 256}
"""Samplers, and how many answers are drawn together unless another number is asked for."""
INDEPENDENT = ("server",)
"""Samplers that draw each answer from its own prompt and seed alone, so that a part of a batch is worth keeping."""


class Sampler(Protocol):
    """Draws answers from one model. Those that hold its weights say in `dtype` in which numbers they compute."""

    def sample(
        self, prompts: Sequence[Prompt], seeds: Sequence[int], drawn: dict[int, Sample] | None = None
    ) -> list[Sample]:
        """An answer to each prompt. Samplers of `INDEPENDENT` put each into `drawn` as it comes, by position."""
        ...


def open_sampler(kind: str, model: str, sampling: Sampling, **options: Any) -> Sampler:
    """The sampler of a model. Nothing of another one is imported.

    Args:
        kind: a key of `BATCH_SIZES`.
        model: a directory or hub id; for a server, what it calls the model.
        sampling: how answers are drawn.
        **options: those of `server.ServerSampler`; others take none.

    Raises:
        UserError: an unknown kind, or a model that cannot be had.
    """
    if kind == "transformers":
        from abcgrpo.evaluation.samplers.local import TransformersSampler

        return TransformersSampler(model, sampling, **options)
    if kind == "vllm":
        from abcgrpo.evaluation.samplers.vllm_offline import VLLMSampler

        return VLLMSampler(model, sampling, **options)
    if kind == "server":
        from abcgrpo.evaluation.samplers.server import ServerSampler

        return ServerSampler(model, sampling, **options)
    raise unknown_name("sampler", kind, BATCH_SIZES, "sampler")


class LastSampler:
    """`open_sampler` that keeps the last one, so that a model is loaded once for several benchmarks.

    The one before is let go of first: two models need not fit beside each other.
    """

    def __init__(self) -> None:
        self._arguments: Any = None
        self._sampler: Sampler | None = None

    def __call__(self, kind: str, model: str, sampling: Sampling, **options: Any) -> Sampler:
        """The sampler, opened unless it is the last one."""
        arguments = (kind, model, sampling, options)
        if self._sampler is None or arguments != self._arguments:
            self._sampler = None
            gc.collect()
            self._sampler = open_sampler(kind, model, sampling, **options)
            self._arguments = arguments
        return self._sampler
