"""Base conversion: a number in one base, written in another, after any working out. One answer is right.

A prompt is `5#1203=3#` (1203 in base 5, wanted in base 3). An answer ends with `:` and the number; what stands before
the colon is working out, which nobody grades. The base has seen it done by way of decimal: the value, then the
remainders of dividing by the new base, `178,59r1,19r2,6r1,2r0,0r2:20121`.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from abcgrpo.tasks.generated import Base, Split, generated_task, split_of

BASES = (2, 3, 4, 5, 6, 7, 8, 9)
LARGEST_VALUE = 400
LONGEST_ANSWER = 72


@dataclass(frozen=True)
class Problem:
    """A value, the base that it is given in, and the one that it is wanted in."""

    value: int
    given: int
    wanted: int

    @property
    def prompt(self) -> str:
        """What the model reads: `5#1203=3#`."""
        return f"{self.given}#{digits(self.value, self.given)}={self.wanted}#"

    @property
    def columns(self) -> dict[str, Any]:
        """The number that is right."""
        return {"answer": digits(self.value, self.wanted)}

    @property
    def solution(self) -> str:
        """The working out by way of decimal, and the answer."""
        steps, rest = [str(self.value)], self.value
        while rest:
            rest, remainder = divmod(rest, self.wanted)
            steps.append(f"{rest}r{remainder}")
        return f"{','.join(steps)}:{digits(self.value, self.wanted)}"


def digits(value: int, base: int) -> str:
    """A number in a base up to 10.

    >>> digits(39, 5)
    '124'
    """
    written = ""
    while value:
        value, digit = divmod(value, base)
        written = f"{digit}{written}"
    return written or "0"


def generate(seed: int, split: Split) -> Iterator[tuple[Problem, str]]:
    """Endless problems of a split, each with its solution; small values and large ones come alike."""
    generator = random.Random(seed)
    while True:
        value = int(LARGEST_VALUE ** generator.random() + generator.random() * 8)
        given, wanted = generator.sample(BASES, 2)
        problem = Problem(value, given, wanted)
        if split_of(problem.prompt) == split:
            yield problem, problem.solution


def verify(text: str, answer: str) -> bool:
    """True if the text ends with a colon and the answer."""
    return text.strip().rpartition(":")[1:] == (":", answer)


TASK = generated_task("base-conversion", generate, verify, ("answer",), LONGEST_ANSWER)
BASE = Base(generate, "0123456789#=,r:", steps=700)
