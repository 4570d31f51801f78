"""What others calculate with: the logged metrics, and each question's right answers, as CSV."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from abcgrpo.files import replaced
from abcgrpo.report.reading.records import Records, RunRecord


def write_metrics(runs: list[RunRecord], path: Path) -> None:
    """Everything that was logged: `arm`, `seed`, `step` and a column for each metric, empty if it was not logged."""
    _write(path, _metric_rows(runs))


def write_scores(records: Records, path: Path) -> None:
    """Right answers of each question at each run's last step, in the form that `abcgrpo compare` reads.

    `benchmark` names the condition too, where there are conditions. The base has no seed and is left out.
    """
    _write(path, _score_rows(records))


def _write(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    with replaced(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _metric_rows(runs: list[RunRecord]) -> Iterator[list[Any]]:
    names = list(dict.fromkeys(name for run in runs for name in run.metrics))
    yield ["arm", "seed", "step", *names]
    for run in runs:
        for step in sorted({step for series in run.metrics.values() for step in series}):
            yield [run.label, run.seed, step, *(run.metrics.get(name, {}).get(step) for name in names)]


def _score_rows(records: Records) -> Iterator[list[Any]]:
    yield ["arm", "seed", "benchmark", "question", "cluster", "correct", "n"]
    for setting, (benchmark, condition) in records.settings.items():
        for run in (run for run in records.runs if run.condition == condition):
            if not (measured := run.last(benchmark)):
                continue
            found = measured.evaluation
            clusters = found.clusters or [None] * len(found.questions)
            for question, cluster, correct in zip(found.questions, clusters, found.correct, strict=True):
                yield [run.arm, run.seed, setting, question, cluster, int(correct), found.samples]
