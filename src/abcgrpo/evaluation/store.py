"""The samples of an evaluation, kept line by line, so that a killed one resumes and every figure can be traced.

A directory holds `evaluation.json` (what was asked of which model, and how) and `samples.jsonl` (one line per sample:
problem, sample, seed, prompt_sha256, text, tokens, finish_reason, correct, answer, reason, of a task with graded
answers the score, and cluster where the benchmark has one). Work is cut into batches beforehand; a batch counts when
all its lines are there, or line by line where answers do not depend on the batch that they are drawn in.
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
from abcgrpo.run_files import differences

SETTINGS = "evaluation.json"
SAMPLES = "samples.jsonl"
NOTES = "notes"
"""What `evaluation.json` holds besides settings: not compared, and free to differ when a killed evaluation resumes."""

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
    clusters: list[str] | None = None
    """(questions,), what groups of questions share, as the benchmark names it; None if it names none."""

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

        Settings without a single sample, which an evaluation leaves that failed before its first answer, are replaced.

        Raises:
            UserError: it holds samples of another model, benchmark, template or sampling setting.
        """
        self.directory = directory
        path = directory / SETTINGS
        if path.exists() and has_samples(directory):
            known = read_json(path)
            known.pop(NOTES, None)
            if changed := differences(known, settings):
                raise UserError(
                    f"{directory} holds samples taken with other settings ({'; '.join(changed)}). They are not "
                    f"mixed: remove that directory, or give another output."
                )
        else:
            write_json(path, settings | ({NOTES: notes} if notes else {}))

    def note(self, name: str, value: Any) -> None:
        """Write down something that samples are not known by, beside the settings."""
        known = read_json(self.directory / SETTINGS)
        notes = known.get(NOTES, {})
        if notes.get(name) != value:
            write_json(self.directory / SETTINGS, known | {NOTES: notes | {name: value}})

    def kept(self, batches: Sequence[Sequence[Key]], whole: bool = True) -> set[Key]:
        """The samples that are there and count.

        Args:
            batches: the plan.
            whole: whether a batch counts only when all its lines are there; lines of other batches, interrupted by a
                crash, are then removed.

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
            raise UserError(f"{path}: the sample {strange[0]} appears twice, or does not belong to this evaluation.")
        counts = Counter(batch_of[key] for key in keys)
        counted = {key for key in keys if not whole or counts[batch_of[key]] == len(batches[batch_of[key]])}
        if len(counted) < len(keys) or not path.read_bytes().endswith(b"\n"):
            write_text(path, "".join(json_line(line) for line, key in zip(lines, keys, strict=True) if key in counted))
        return counted

    def append(self, lines: Iterable[dict[str, Any]]) -> None:
        """Add lines of one batch, and see them to the disk."""
        with (self.directory / SAMPLES).open("a", encoding="utf-8") as file:
            file.write("".join(map(json_line, lines)))
            file.flush()
            os.fsync(file.fileno())


def has_samples(directory: Path) -> bool:
    """Whether any sample is kept in a directory."""
    path = directory / SAMPLES
    return path.exists() and path.stat().st_size > 0


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
        clusters=_clusters([lines[problem, 0] for problem in graded]),
    )


def _clusters(lines: list[dict[str, Any]]) -> list[str] | None:
    """The cluster of each problem; one without a name among others with one is a cluster of its own."""
    if not any("cluster" in line for line in lines):
        return None
    return [line.get("cluster", line["problem"]) for line in lines]
