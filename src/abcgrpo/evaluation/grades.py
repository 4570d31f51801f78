"""The grades of kept answers: how a line has them, and how they are made again where what grades is another."""

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from abcgrpo.evaluation.store import NOTES, SAMPLES, SETTINGS, has_samples
from abcgrpo.files import json_line, read_json, read_json_lines, write_json, write_text
from abcgrpo.grading.verdict import Verdict
from abcgrpo.run_files import GRADED_WITH
from abcgrpo.tasks import Row
from abcgrpo.tasks.benchmarks import Benchmark, rows_hash
from abcgrpo.tasks.prompts import Prompt

_FREE = dict.fromkeys(("questions", "questions_sha256", "samples"))
_OF_A_VERDICT = ("correct", "answer", "reason", "score")


def notes_of(benchmark: Benchmark) -> dict[str, Any]:
    """What an evaluation notes of its benchmark, beside the settings that samples are known by."""
    return {"source": benchmark.source, GRADED_WITH: benchmark.task.graded_with}


def graded(verdict: Verdict) -> dict[str, Any]:
    """A verdict as the line of a sample has it; `score` only of a task with graded answers."""
    found = {"correct": verdict.correct, "answer": verdict.answer, "reason": verdict.reason}
    return found if verdict.score is None else found | {"score": verdict.score}


def grade_again(directory: Path, settings: dict[str, Any], benchmark: Benchmark, asked: Sequence[Row]) -> None:
    """Grade the answers of a directory again if other code graded them; the answers themselves stay.

    So a corrected `grade` or `reward_funcs` costs no sampling. A directory whose answers are to other prompts, or drawn
    otherwise, stays as it is, for `SampleStore` to refuse. Said on stderr.

    Args:
        directory: of the samples.
        settings: that are wanted.
        benchmark: the problems.
        asked: its rows with their prompts.
    """
    if not has_samples(directory):
        return
    known = read_json(directory / SETTINGS)
    notes = known.pop(NOTES, {})
    if notes.get(GRADED_WITH, benchmark.task.name) == benchmark.task.graded_with or known | _FREE != settings | _FREE:
        return
    rows = dict(zip(benchmark.ids, asked, strict=True))
    hashes = {problem: prompt_hash(row["prompt"]) for problem, row in rows.items()}
    lines = list(read_json_lines(directory / SAMPLES))
    if any(hashes.get(line["problem"]) != line["prompt_sha256"] for line in lines):
        return
    verdicts = benchmark.task.grade([line["text"] for line in lines], [rows[line["problem"]] for line in lines])
    kept = [{name: value for name, value in line.items() if name not in _OF_A_VERDICT} for line in lines]
    pairs = zip(kept, verdicts, strict=True)
    write_text(directory / SAMPLES, "".join(json_line(line | graded(verdict)) for line, verdict in pairs))
    known |= {"questions_sha256": rows_hash(benchmark.graded[: known["questions"]])}
    write_json(directory / SETTINGS, known | {NOTES: notes | notes_of(benchmark)})
    print(
        f"{directory}: {len(lines)} answers are graded again, because the grading code has changed.",
        file=sys.stderr,
        flush=True,
    )


def prompt_hash(prompt: Prompt) -> str:
    """SHA-256 of a prompt as it is asked: the text, or the conversation as JSON."""
    return hashlib.sha256(json.dumps(prompt).encode()).hexdigest()
