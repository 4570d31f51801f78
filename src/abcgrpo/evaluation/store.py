"""The samples of an evaluation, kept line by line, so that a killed one goes on and every figure can be traced.

A directory holds `evaluation.json` (what was asked of which model, and how) and `samples.jsonl` (one line per sample:
problem, sample, seed, prompt_sha256, text, tokens, finish_reason, correct, answer, reason, and of a task with graded
answers the score). Work is cut into batches beforehand; a batch counts when all its lines are there.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from abcgrpo.errors import UserError
from abcgrpo.files import json_line, read_json, read_json_lines, write_json, write_text

SETTINGS = "evaluation.json"
SAMPLES = "samples.jsonl"
NOTES = "notes"
"""What `evaluation.json` holds besides settings: not compared, and free to differ when a killed evaluation goes on."""

Key = tuple[str, int]
"""Problem id and sample index."""


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation of one model on one benchmark."""

    settings: dict[str, Any]
    questions: list[str]
    """Problem ids, sorted; without those whose gold cannot be parsed."""
    right: np.ndarray
    """(questions, samples), whether each sample is right."""
    answers: list[list[str | None]]
    """(questions, samples)."""
    reasons: Counter[str]
    """How often the grader gave each reason."""
    truncated: float
    """Share of samples that ran into the length limit."""
    mean_tokens: float
    unparsable_golds: list[str]
    """Problems of which nothing can be said; they are in no figure but `truncated` and `mean_tokens`."""

    @property
    def samples(self) -> int:
        """Samples per question."""
        return self.settings["samples"]

    @property
    def correct(self) -> np.ndarray:
        """(questions,), right answers per question."""
        return self.right.sum(axis=1)


class SampleStore:
    """The two files of one evaluation."""

    def __init__(self, directory: Path, settings: dict[str, Any], notes: dict[str, Any] | None = None) -> None:
        """Open or make the directory.

        Raises:
            UserError: it holds samples of another model, benchmark, template or sampling setting.
        """
        self.directory = directory
        path = directory / SETTINGS
        if path.exists():
            known = read_json(path)
            known.pop(NOTES, None)
            names = sorted({*known, *settings})
            changed = [name for name in names if known.get(name) != settings.get(name)]
            if changed:
                listed = "; ".join(f"{name} was {known.get(name)!r}, is {settings.get(name)!r}" for name in changed)
                raise UserError(
                    f"{directory} holds samples taken with other settings ({listed}). They are not mixed: remove that "
                    f"directory, or give another output."
                )
        else:
            write_json(path, settings | ({NOTES: notes} if notes else {}))

    def finished_batches(self, batches: Sequence[Sequence[Key]]) -> set[int]:
        """The batches all of whose lines are there; lines of other batches, cut short by a crash, are removed.

        Raises:
            UserError: a line that is in no batch, or twice.
        """
        path = self.directory / SAMPLES
        if not path.exists():
            return set()
        batch_of = {key: number for number, batch in enumerate(batches) for key in batch}
        lines = list(read_json_lines(path))
        keys = [(line["problem"], line["sample"]) for line in lines]
        if strange := [key for key, count in Counter(keys).items() if count > 1 or key not in batch_of]:
            raise UserError(f"{path}: the sample {strange[0]} is there twice, or is none of this evaluation's.")
        counts = Counter(batch_of[key] for key in keys)
        finished = {number for number, count in counts.items() if count == len(batches[number])}
        if finished != set(counts) or not path.read_bytes().endswith(b"\n"):
            kept = [line for line, key in zip(lines, keys, strict=True) if batch_of[key] in finished]
            write_text(path, "".join(map(json_line, kept)))
        return finished

    def append(self, lines: Iterable[dict[str, Any]]) -> None:
        """Add the lines of one batch, and see them to the disk."""
        with (self.directory / SAMPLES).open("a", encoding="utf-8") as file:
            file.write("".join(map(json_line, lines)))
            file.flush()
            os.fsync(file.fileno())


def read_evaluation(directory: Path) -> Evaluation:
    """A finished evaluation.

    Raises:
        UserError: there is none, or samples are missing.
    """
    settings = read_json(directory / SETTINGS)
    path = directory / SAMPLES
    lines = {(line["problem"], line["sample"]): line for line in read_json_lines(path)} if path.exists() else {}
    questions, samples = settings["questions"], settings["samples"]
    problems = sorted({problem for problem, _ in lines})
    if len(problems) != questions or any((p, s) not in lines for p in problems for s in range(samples)):
        raise UserError(
            f"{directory} holds {len(lines)} of {questions * samples} samples: evaluate again to add the missing ones."
        )
    unparsable = sorted({line["problem"] for line in lines.values() if line["correct"] is None})
    graded = [problem for problem in problems if problem not in unparsable]
    if not graded:
        raise UserError(f"{directory}: no problem has a gold answer that can be parsed.")
    return Evaluation(
        settings=settings,
        questions=graded,
        right=np.array([[lines[problem, s]["correct"] for s in range(samples)] for problem in graded], dtype=bool),
        answers=[[lines[problem, s]["answer"] for s in range(samples)] for problem in graded],
        reasons=Counter(line["reason"] for line in lines.values()),
        truncated=sum(line["finish_reason"] == "length" for line in lines.values()) / len(lines),
        mean_tokens=sum(line["tokens"] for line in lines.values()) / len(lines),
        unparsable_golds=unparsable,
    )
