"""Countdown: combine given numbers, each exactly once, into a target.

A prompt is `15,9,6:7>` (the numbers, then the target), and an answer is a chain of steps such as `15-9=6,6+1=7`: each
takes two numbers that are there and puts back their sum, difference or product, until only the target is left.

A problem belongs to the training or the test split by a hash of its numbers and target, so that no seed, and no order
of the numbers, can make a test problem appear in training.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from abcgrpo.tasks.generated import Split, split_of

NUMBERS_PER_PROBLEM = (3, 4, 5)
"""Three are easy for the shipped base, five are hard: some problems it always solves, some never."""
LARGEST_NUMBER = 10
LARGEST_RESULT = 150
"""Bound on every intermediate result, so that an answer stays short."""

_STEP = re.compile(r"([0-9]{1,6})([-+*])([0-9]{1,6})=([0-9]{1,12})", re.ASCII)
_OPERATIONS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}


@dataclass(frozen=True)
class Problem:
    """Numbers to combine and the target to reach."""

    numbers: tuple[int, ...]
    target: int

    @property
    def prompt(self) -> str:
        """What the model reads: `15,9,6:7>`."""
        return f"{','.join(map(str, self.numbers))}:{self.target}>"

    @property
    def split(self) -> Split:
        """One problem in eight is for tests. The order of the numbers makes no difference."""
        return split_of(f"{sorted(self.numbers)}:{self.target}")

    @property
    def columns(self) -> dict[str, Any]:
        """The numbers and the target."""
        return {"numbers": list(self.numbers), "target": self.target}


def generate(seed: int, split: Split) -> Iterator[tuple[Problem, str]]:
    """Endless problems of a split, each with one solution; the same seed gives the same sequence on every platform."""
    generator = random.Random(seed)
    while True:
        problem, solution = _draw(generator)
        if problem is not None and problem.split == split:
            yield problem, solution


def _draw(generator: random.Random) -> tuple[Problem | None, str]:
    """A random chain of operations over random numbers; None if a result leaves 0 … LARGEST_RESULT."""
    numbers = [generator.randint(1, LARGEST_NUMBER) for _ in range(generator.choice(NUMBERS_PER_PROBLEM))]
    shuffled = generator.sample(numbers, len(numbers))
    result, steps = shuffled[0], []
    for number in shuffled[1:]:
        operation = generator.choice("+-*")
        left, right = (number, result) if operation == "-" and generator.random() < 0.5 else (result, number)
        result = _OPERATIONS[operation](left, right)
        if not 0 <= result <= LARGEST_RESULT:
            return None, ""
        steps.append(f"{left}{operation}{right}={result}")
    return Problem(tuple(numbers), result), ",".join(steps)


def verify(text: str, numbers: tuple[int, ...] | list[int], target: int) -> bool:
    """True if `text` is a chain of correct steps that uses every number exactly once and ends at the target.

    Exact, linear in the length of the text, and safe on any text: nothing is evaluated, only matched.
    """
    steps = text.strip().split(",", len(numbers))
    if len(steps) != len(numbers) - 1:
        return False
    available = Counter(numbers)
    result = None
    for step in steps:
        match = _STEP.fullmatch(step)
        if match is None:
            return False
        left, right, result = int(match[1]), int(match[3]), int(match[4])
        if _OPERATIONS[match[2]](left, right) != result:
            return False
        available.subtract((left, right))
        if available[left] < 0 or available[right] < 0:
            return False
        available[result] += 1
    return result == target
