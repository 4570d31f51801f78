"""An evaluation that grows: more questions or more samples are added to those that are there, and none is drawn again.

What is drawn together is fixed by blocks whose edges are 16, 32, 64, … samples and 32, 64, 128, … questions. A smaller
evaluation whose sizes are such edges is the beginning of a larger one, sample for sample. Another size becomes an edge
when the evaluation grows past it, so that its samples stay.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from abcgrpo.evaluation.store import NOTES, SETTINGS, has_samples
from abcgrpo.files import read_json, write_json
from abcgrpo.tasks import Row
from abcgrpo.tasks.benchmarks import rows_hash

SMALLEST_QUESTIONS, SMALLEST_SAMPLES = 32, 16

Stage = tuple[int, int]
"""Questions and samples that an evaluation had before it grew."""


def blocks(questions: int, samples: int, stages: Sequence[Stage] = ()) -> list[tuple[range, range]]:
    """Ranges of questions and of samples that are drawn apart from one another; together they are all of both."""
    return [
        (range(*rows), range(*drawn))
        for rows in pairwise(_edges(questions, SMALLEST_QUESTIONS, [stage[0] for stage in stages]))
        for drawn in pairwise(_edges(samples, SMALLEST_SAMPLES, [stage[1] for stage in stages]))
    ]


def _edges(count: int, smallest: int, earlier: list[int]) -> list[int]:
    edges = {0, count, *earlier}
    edge = smallest
    while edge < count:
        edges.add(edge)
        edge *= 2
    return sorted(edges)


def grow(directory: Path, settings: dict[str, Any], rows: Sequence[Row]) -> list[Stage]:
    """Let an evaluation with fewer questions or samples, and else the same settings, become the one that is wanted.

    Returns the sizes that it had before, the first one first. Settings that differ in anything else stay as they are.
    """
    path = directory / SETTINGS
    if not path.exists() or not has_samples(directory):
        return []
    known = read_json(path)
    notes = known.pop(NOTES, {})
    stages = [(questions, samples) for questions, samples in notes.get("stages", [])]
    if known == settings:
        return stages
    size = known.get("questions", 0), known.get("samples", 0)
    of_that_size = {"questions": size[0], "questions_sha256": rows_hash(list(rows[: size[0]])), "samples": size[1]}
    grows = size[0] <= settings["questions"] and size[1] <= settings["samples"]
    if grows and known == settings | of_that_size:
        stages.append(size)
        write_json(path, settings | {NOTES: notes | {"stages": stages}})
    return stages
