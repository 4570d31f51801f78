"""Figures of the evaluations, benchmark by benchmark: metrics, and their course over training."""

from collections.abc import Callable
from typing import Any

import numpy as np

from abcgrpo.evaluation.intervals import Interval, over_questions
from abcgrpo.evaluation.results import Metrics
from abcgrpo.evaluation.store import Evaluation
from abcgrpo.report.reading.records import Measured, Records, RunRecord

Shares = Callable[[Evaluation], np.ndarray]


def columns(records: Records) -> dict[str, Shares]:
    """The table's columns: Avg@k and Pass@k by name, each with its value for every question of an evaluation."""
    if records.shares is not None:
        return records.shares
    metrics = Metrics(max(records.pass_at_k), records.pass_at_k)
    return {name: metrics.shares(name) for name in metrics.names}


def benchmarks(records: Records) -> dict[str, dict[str, Any]]:
    """What was measured: for each benchmark `questions`, `samples`, `step` (of the last checkpoint) and `columns`."""
    found = {}
    for name in records.benchmarks:
        each = next(measured.evaluation for measured in _measured(records, name))
        found[name] = {"questions": len(each.questions), "samples": each.samples, "columns": list(columns(records))}
    return found


def clusters_of(records: Records, benchmark: str) -> list[str] | None:
    """The clusters that a benchmark's questions are in; None if it names none."""
    return _measured(records, benchmark)[0].evaluation.clusters


def base_scores(records: Records) -> dict[str, Any] | None:
    """The base's metrics by benchmark."""
    shares = columns(records)
    return {name: scores([found], shares) for name, found in records.base.items()} or None


def arm_scores(records: Records, runs: list[RunRecord]) -> dict[str, Any]:
    """An arm's metrics by benchmark at the last measured step; None for a benchmark that it was not measured on."""
    shares = columns(records)
    return {name: scores(_last(runs, name), shares) for name in records.benchmarks}


def scores(measured: list[Measured], shares: dict[str, Shares]) -> dict[str, Any] | None:
    """By metric: value, low and high over questions of the mean over seeds; each seed's value; truncated and length."""
    if not measured:
        return None
    found: dict[str, Any] = {}
    for name, share in shares.items():
        found[name] = _interval(measured, share)._asdict() | {
            "per_seed": [float(share(each.evaluation).mean()) for each in measured]
        }
    return found | {
        "truncated": float(np.mean([each.evaluation.truncated for each in measured])),
        "mean_tokens": float(np.mean([each.evaluation.mean_tokens for each in measured])),
    }


def score_series(records: Records, runs: list[RunRecord]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """By benchmark and metric, a point a checkpoint: step, value, low, high, each seed's value; step 0 is the base."""
    shares = columns(records)
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for benchmark in records.benchmarks:
        steps = sorted({step for run in runs for step in run.evaluations.get(benchmark, {})})
        points = {
            step: {str(run.seed): by[step] for run in runs if step in (by := run.evaluations.get(benchmark, {}))}
            for step in steps
        }
        if steps and benchmark in records.base:
            points = {0: {str(run.seed): records.base[benchmark] for run in runs}} | points
        found[benchmark] = {
            name: [_point(step, by, share) for step, by in points.items()] for name, share in shares.items()
        }
    return found


def _point(step: int, by_seed: dict[str, Measured], share: Shares) -> dict[str, Any]:
    point = {"step": step} | _interval(list(by_seed.values()), share)._asdict()
    seeds = {seed: float(share(each.evaluation).mean()) for seed, each in by_seed.items()}
    return point | ({"seeds": seeds} if len(seeds) > 1 else {})


def _last(runs: list[RunRecord], benchmark: str) -> list[Measured]:
    return [found for run in runs if (found := run.last(benchmark))]


def _measured(records: Records, benchmark: str) -> list[Measured]:
    base = [records.base[benchmark]] if benchmark in records.base else []
    return base + _last(records.runs, benchmark)


def _interval(measured: list[Measured], share: Shares) -> Interval:
    """Over questions, of each question's mean over the runs; of the questions that every run was measured on."""
    shared = sorted(set.intersection(*(set(each.evaluation.questions) for each in measured)))
    values, clusters = [], None
    for each in measured:
        of = each.evaluation
        at = np.searchsorted(of.questions, shared)
        values.append(share(of)[at])
        clusters = [of.clusters[index] for index in at] if of.clusters else None
    return over_questions(np.mean(values, axis=0), clusters)
