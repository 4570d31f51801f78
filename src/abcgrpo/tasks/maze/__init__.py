"""A maze: a way from start to goal through a small grid. Many answers are right, and none is worked out beforehand.

A prompt is the grid, row by row, `S..#/.#../...G>`: `S` the start, `G` the goal, `#` walls. An answer is moves,
`RRDDL`: right if they lead from start to goal through no wall and not off the grid, in no more steps than there are
open cells.
"""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from abcgrpo.tasks.generated import Base, Split, generated_task, split_of

SIZES = (3, 4, 5, 6)
WALLS = 0.3
LONGEST_ANSWER = 36
_MOVES = {"U": (-1, 0), "D": (1, 0), "L": (0, -1), "R": (0, 1)}


@dataclass(frozen=True)
class Problem:
    """A grid of rows of `S`, `G`, `.` and `#`."""

    rows: tuple[str, ...]

    @property
    def prompt(self) -> str:
        """What the model reads: `S..#/.#../...G>`."""
        return "/".join(self.rows) + ">"

    @property
    def columns(self) -> dict[str, Any]:
        """The grid, its rows with slashes between."""
        return {"grid": "/".join(self.rows)}


def generate(seed: int, split: Split) -> Iterator[tuple[Problem, str]]:
    """Endless mazes of a split that have a way, each with one of the shortest."""
    generator = random.Random(seed)
    while True:
        size = generator.choice(SIZES)
        cells = ["#" if generator.random() < WALLS else "." for _ in range(size * size)]
        start, goal = generator.sample(range(size * size), 2)
        cells[start], cells[goal] = "S", "G"
        problem = Problem(tuple("".join(cells[at : at + size]) for at in range(0, size * size, size)))
        way = shortest_way(problem.rows, generator)
        if way is not None and split_of(problem.prompt) == split:
            yield problem, way


def shortest_way(rows: tuple[str, ...], generator: random.Random) -> str | None:
    """One of the shortest ways from start to goal, drawn by the generator; None if there is none."""
    start, goal = _position(rows, "S"), _position(rows, "G")
    ways, waiting = {start: ""}, deque([start])
    while waiting:
        here = waiting.popleft()
        if here == goal:
            return ways[here]
        for move in generator.sample("UDLR", 4):
            there = (here[0] + _MOVES[move][0], here[1] + _MOVES[move][1])
            if there not in ways and _is_open(rows, there):
                ways[there] = ways[here] + move
                waiting.append(there)
    return None


def verify(text: str, grid: str) -> bool:
    """True if the moves lead from start to goal through open cells, in no more steps than there are open cells."""
    rows = tuple(grid.split("/"))
    moves = text.strip()
    if len(moves) > sum(len(row) - row.count("#") for row in rows):
        return False
    here = _position(rows, "S")
    for move in moves:
        if move not in _MOVES:
            return False
        here = (here[0] + _MOVES[move][0], here[1] + _MOVES[move][1])
        if not _is_open(rows, here):
            return False
    return here == _position(rows, "G")


def _position(rows: tuple[str, ...], mark: str) -> tuple[int, int]:
    (row,) = [number for number, cells in enumerate(rows) if mark in cells]
    return row, rows[row].index(mark)


def _is_open(rows: tuple[str, ...], place: tuple[int, int]) -> bool:
    row, column = place
    return 0 <= row < len(rows) and 0 <= column < len(rows[row]) and rows[row][column] != "#"


TASK = generated_task("maze", generate, verify, ("grid",), LONGEST_ANSWER)
BASE = Base(generate, "SG.#/>UDLR", steps=400)
