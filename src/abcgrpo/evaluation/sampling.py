"""How answers are drawn, and the plan of it: fixed batches, and a seed for every sample. No torch."""

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from abcgrpo.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn.

    Raises:
        UserError: a value out of range, or one without effect.
    """

    temperature: float = 1.0
    """0 takes the most likely token each time."""
    top_p: float = 1.0
    top_k: int = 0
    """0 leaves every token in."""
    max_new_tokens: int = 40
    """Length limit of an answer, in tokens."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.top_k < 0 or self.max_new_tokens < 1:
            raise UserError(f"Sampling needs temperature ≥ 0, 0 < top_p ≤ 1, top_k ≥ 0, max_new_tokens ≥ 1: {self}.")
        if self.temperature == 0 and (self.top_p, self.top_k) != (1.0, 0):
            raise UserError("At temperature 0 the most likely token is taken: top_p and top_k have no effect.")

    def to_dict(self) -> dict[str, Any]:
        """The settings by name."""
        return asdict(self)


class Sample(NamedTuple):
    """One answer."""

    text: str
    tokens: int
    finish_reason: str
    """"stop" where the model ended the answer, "length" where the limit did; a server may say something else."""


class Request(NamedTuple):
    """One answer that is wanted."""

    question: int
    sample: int
    seed: int


def request_batches(
    problems: list[str], blocks: Sequence[tuple[range, range]], batch_size: int, seed: int
) -> list[list[Request]]:
    """Every (problem, sample) once, in batches of at most `batch_size`, problems of similar length together.

    The plan depends on its arguments alone, so that an evaluation that resumes after a kill draws the same samples. No
    batch reaches over two blocks: see `abcgrpo.evaluation.growth`.
    """
    batches = []
    for questions, samples in blocks:
        by_length = sorted(questions, key=lambda question: (len(problems[question]), question))
        requests = [
            Request(
                question, sample, zlib.crc32(f"{seed}:{sample}:{problems[question]}".encode(errors="surrogatepass"))
            )
            for question in by_length
            for sample in samples
        ]
        batches += [requests[start : start + batch_size] for start in range(0, len(requests), batch_size)]
    return batches
