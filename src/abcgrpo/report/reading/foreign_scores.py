"""Scores from anywhere into what a report is made of: CSV files, and logs of inspect-ai and lighteval.

A CSV file has a row for each answer, or for each question: `arm`, `seed`, `question`, and either `score` (0 … 1;
several rows of one question are its samples) or `correct` and `n` (right answers of so many). `benchmark` and
`cluster` are optional. Where all scores are 0 or 1 they are right and wrong answers, and Avg@k and Pass@k are compared
as in any report; others are compared as they are, under `score`.
"""

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from abcgrpo.errors import UserError
from abcgrpo.evaluation.results import powers_of_two
from abcgrpo.evaluation.store import Evaluation
from abcgrpo.report.reading.records import Measured, Records, RunRecord

REQUIRED = ("arm", "seed", "question")
OPTIONAL = ("benchmark", "cluster", "score", "correct", "n")
BENCHMARK = "scores"
"""What the benchmark is called where a file names none."""
RIGHT = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""inspect-ai's grades: correct, incorrect, partial, no answer. True and false are numbers already."""


class Row(NamedTuple):
    """The number of right answers to a question, or one score of it (`answers` is 1)."""

    arm: str
    seed: int
    benchmark: str
    question: str
    cluster: str | None
    score: float
    """Right answers, or a score of 0 … 1."""
    answers: int


def load_scores(sources: Sequence[str], baseline: str | None = None, pass_at_k: Sequence[int] = ()) -> Records:
    """Records of the scores in files, one run for each arm and seed.

    Args:
        sources: CSV files, and `ARM:SEED=FILE` with a log of inspect-ai (.json) or lighteval (.parquet).
        baseline: the arm that the others are compared with; by default the first one.
        pass_at_k: the k of Pass@k; by default the powers of two up to the number of answers.

    Raises:
        UserError: a file that cannot be read so; the message names the row and what is wanted.
    """
    rows = [row for source in sources for row in _rows(source)]
    arms = list(dict.fromkeys(row.arm for row in rows))
    if baseline is not None:
        if baseline not in arms:
            raise UserError(f"--baseline: there is no arm {baseline!r}. Known: {', '.join(arms)}.")
        arms = [baseline, *(arm for arm in arms if arm != baseline)]
    counted = all(row.score == int(row.score) for row in rows)
    samples = _samples(rows) if counted else 1
    if pass_at_k and not counted:
        raise UserError("--pass-at-k has no effect on scores that are not 0 or 1: leave it out.")
    if wrong := [k for k in pass_at_k if not 1 <= k <= samples]:
        raise UserError(f"--pass-at-k {wrong[0]}: there are {samples} answers to each question.")
    records = Records(title=", ".join(Path(source.partition("=")[2] or source).stem for source in sources))
    records.planned = arms
    if counted:
        records.pass_at_k = sorted(pass_at_k) or powers_of_two(samples) or [1]
    else:
        records.shares = {"score": lambda evaluation: evaluation.right[:, 0]}
    by_run: dict[tuple[str, int], dict[str, list[Row]]] = {}
    for row in rows:
        by_run.setdefault((row.arm, row.seed), {}).setdefault(row.benchmark, []).append(row)
    for arm, seed in sorted(by_run, key=lambda run: (arms.index(run[0]), run[1])):
        run = RunRecord(arm, seed, {})
        for benchmark, of_run in by_run[arm, seed].items():
            run.evaluations[benchmark] = {0: Measured(_evaluation(of_run, samples, counted), None)}
        records.runs.append(run)
    return records


def _evaluation(rows: list[Row], samples: int, counted: bool) -> Evaluation:
    questions = sorted({row.question for row in rows})
    totals = dict.fromkeys(questions, 0.0)
    answers = Counter[str]()
    clusters: dict[str, str] = {}
    for row in rows:
        totals[row.question] += row.score
        answers[row.question] += row.answers
        if row.cluster is not None:
            clusters[row.question] = row.cluster
    if counted:
        right = np.array([[sample < totals[question] for sample in range(samples)] for question in questions])
    else:
        right = np.array([[totals[question] / answers[question]] for question in questions])
    return Evaluation(
        settings={"samples": samples},
        questions=questions,
        right=right,
        answers=[],
        reasons=Counter(),
        truncated=math.nan,
        mean_tokens=math.nan,
        unparsable_golds=[],
        clusters=[clusters.get(question, question) for question in questions] if clusters else None,
    )


def _samples(rows: list[Row]) -> int:
    """How many answers each question has.

    Raises:
        UserError: not the same number everywhere.
    """
    counts: Counter[tuple[str, int, str, str]] = Counter()
    for row in rows:
        counts[row.arm, row.seed, row.benchmark, row.question] += row.answers
    usual = Counter(counts.values()).most_common(1)[0][0]
    for (arm, seed, _, question), count in counts.items():
        if count != usual:
            raise UserError(
                f"{arm}, seed {seed}: {count} answers to the question {question}, where others have {usual}. Pass@k is "
                f"compared at equal numbers of answers."
            )
    return usual


def _rows(source: str) -> Iterator[Row]:
    label, equals, path = source.partition("=")
    if not equals:
        yield from _csv_rows(Path(source))
        return
    arm, _, seed = label.rpartition(":")
    if not arm or not seed.isdigit():
        raise UserError(f"{source!r} is not understood: write ARM:SEED=FILE, such as GRPO:0=logs/grpo-0.json.")
    file = Path(path)
    found = _inspect_scores(file) if file.suffix == ".json" else _lighteval_scores(file)
    for question, score in found:
        yield Row(arm, int(seed), BENCHMARK, question, None, _unit(score, f"{file}, question {question}"), 1)


def _csv_rows(path: Path) -> Iterator[Row]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from None
    reader = csv.DictReader(lines)
    columns = list(reader.fieldnames or ())
    counted = {"correct", "n"} <= set(columns)
    missing = [name for name in REQUIRED if name not in columns]
    if missing or not (counted or "score" in columns):
        raise UserError(
            f"{path} should have the columns {', '.join(REQUIRED)}, and either score or correct and n; it has: "
            f"{', '.join(columns) or 'none'}."
        )
    if counted and "score" in columns:
        raise UserError(f"{path} has score beside correct and n: leave one of them out.")
    if unknown := [name for name in columns if name not in (*REQUIRED, *OPTIONAL)]:
        raise UserError(f"{path}: unknown columns: {', '.join(map(str, unknown))}. Leave them out.")
    empty = True
    for number, row in enumerate(reader, start=2):
        where, empty = f"{path}, line {number}", False
        answers = _whole(row["n"], f"{where}: n") if counted else 1
        score = _whole(row["correct"], f"{where}: correct") if counted else _unit(row["score"], where)
        if counted and not (answers >= 1 and score <= answers):
            raise UserError(f"{where}: {score} right answers of {answers}.")
        benchmark, cluster = row.get("benchmark") or BENCHMARK, row.get("cluster") or None
        seed = _whole(row["seed"], f"{where}: seed")
        yield Row(row["arm"], seed, benchmark, row["question"], cluster, float(score), answers)
    if empty:
        raise UserError(f"{path} has no rows.")


def _inspect_scores(path: Path) -> Iterable[tuple[str, Any]]:
    """The samples of an inspect-ai log in JSON, by its first scorer; epochs are answers to the same question."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for sample in content["samples"]:
            value = next(iter(sample["scores"].values()))["value"]
            yield str(sample["id"]), RIGHT.get(value, value) if isinstance(value, str) else value
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise UserError(
            f"{path} is not a scored log of inspect-ai in JSON ({type(error).__name__}: {error}). A log in the .eval "
            f"form is converted with: inspect log convert --to json --output-dir converted LOGS"
        ) from None


def _lighteval_scores(path: Path) -> Iterable[tuple[str, Any]]:
    """The rows of a lighteval details file (`details_*.parquet`, written with --save-details), by its first metric."""
    import pyarrow.parquet

    try:
        for row in pyarrow.parquet.read_table(path).to_pylist():
            metrics = row.get("metric") or row["metrics"]
            yield str(row["doc"]["id"]), next(value for value in metrics.values() if value is not None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise UserError(
            f"{path} is not a details file of lighteval ({type(error).__name__}: {error}): it should be a .parquet "
            f"file with the columns doc and metric, as --save-details writes it."
        ) from None


def _unit(value: Any, where: str) -> float:
    number = _number(value)
    if number is None or not 0 <= number <= 1:
        raise UserError(f"{where}: the score {value!r} is not a number from 0 to 1, higher being better.")
    return number


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _whole(value: Any, where: str) -> int:
    if value is None or not str(value).strip().isdigit():
        raise UserError(f"{where} should be a whole number, and is {value!r}.")
    return int(value)
