"""Figures of the training logs: each arm's metrics over its seeds, and the series that the panels draw."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from abcgrpo.event_shares import QUADRANTS
from abcgrpo.report.reading.logs.names import MASS, OTHER_NAMES
from abcgrpo.report.reading.quadrants import SOURCES, clip_shares_of
from abcgrpo.report.reading.records import RunRecord
from abcgrpo.run_files import ZERO_VARIANCE

LENGTH = "completions/mean_length"
DRAWN = ("entropy", "reward", LENGTH, ZERO_VARIANCE, *(f"clip/{quadrant}" for quadrant in QUADRANTS))
"""The metrics that have panels, or a place in the table of the arms."""


def arm_metrics(runs: list[RunRecord]) -> dict[str, Any]:
    """What the logs say of an arm: means over seeds, and each seed's own under `per_seed`. None if not logged."""
    shares = {run.seed: clip_shares_of(run.metrics) for run in runs}
    return {
        "seeds": [run.seed for run in runs],
        "steps": max(run.steps for run in runs),
        "entropy": _statistics(runs, "entropy"),
        "reward": _statistics(runs, "reward"),
        "response_length": _statistics(runs, LENGTH),
        "zero_variance_fraction": _statistics(runs, ZERO_VARIANCE),
        "clip_share": {quadrant: mean(found[quadrant] for found, _ in shares.values()) for quadrant in QUADRANTS}
        | {
            "steps_with_events": sum(steps for _, steps in shares.values()),
            "per_seed": {str(seed): found for seed, (found, _) in shares.items()},
        },
        "clip_fraction": {
            quadrant: mean(_mean(run.metrics.get(f"clip/{quadrant}")) for run in runs) for quadrant in QUADRANTS
        },
        "metrics": {
            name: {"first": statistics["first"], "final": statistics["final"], "mean": statistics["mean"]}
            for name in sorted({name for run in runs for name in run.metrics})
            for statistics in [_statistics(runs, name)]
        },
    }


def _statistics(runs: list[RunRecord], metric: str) -> dict[str, Any]:
    """First, last logged and mean value of a metric, over the seeds that have it."""

    def over_seeds(pick: Callable[[dict[int, float]], float | None]) -> float | None:
        return mean(pick(run.metrics.get(metric, {})) for run in runs)

    return {
        "first": over_seeds(_first),
        "final": over_seeds(_final),
        "mean": over_seeds(_mean),
        "points": max(len(run.metrics.get(metric, {})) for run in runs),
        "per_seed": {
            str(run.seed): {"final": _final(series), "mean": _mean(series)}
            for run in runs
            for series in [run.metrics.get(metric, {})]
        },
    }


def arm_series(runs: list[RunRecord]) -> dict[str, list[dict[str, Any]]]:
    """The drawn metrics by step: the mean over the seeds that have the step, and with several seeds their own values.

    Each point has `step`, `value` and, with several seeds, `seeds` (a mapping from seed to value).
    """
    return {metric: points for metric in DRAWN if (points := _points(runs, metric))}


def _points(runs: list[RunRecord], metric: str) -> list[dict[str, Any]]:
    steps = sorted({step for run in runs for step in run.metrics.get(metric, {})})
    found = []
    for step in steps:
        values = {str(run.seed): run.metrics[metric][step] for run in runs if step in run.metrics.get(metric, {})}
        point: dict[str, Any] = {"step": step, "value": float(np.mean(list(values.values())))}
        found.append(point | ({"seeds": values} if len(runs) > 1 else {}))
    return found


def ratios(finals: dict[str, float | None]) -> dict[str, float | None]:
    """Each arm's value over each other's, under `"<arm> / <other>"`."""
    return {
        f"{arm} / {other}": value / below if value is not None and below else None
        for other, below in finals.items()
        for arm, value in finals.items()
        if arm != other
    }


def log_notes(by_arm: dict[str, list[RunRecord]]) -> list[str]:
    """What a reader of the panels must know: logs of unequal length, and metrics that are missing."""
    notes = []
    ends = {arm: sorted({run.steps for run in runs}) for arm, runs in by_arm.items()}
    for arm, steps in ends.items():
        if len(steps) > 1:
            listed = ", ".join(map(str, steps))
            notes.append(f"{arm}: the seeds' logs end at steps {listed}; later means use the seeds that continue.")
    if len({steps[-1] for steps in ends.values()}) > 1:
        listed = ", ".join(f"{arm} {steps[-1]}" for arm, steps in ends.items())
        notes.append(f"The arms' logs end at different steps ({listed}): final values are not of the same step.")
    for name, title in (("entropy", "Entropy"), ("reward", "The reward"), (ZERO_VARIANCE, "Groups without variance")):
        without = [arm for arm, runs in by_arm.items() if not any(name in run.metrics for run in runs)]
        if without:
            notes.append(f"{title} is not in the log of {', '.join(without)}.")
    without = [arm for arm, runs in by_arm.items() if not any(f"clip/{q}" in r.metrics for r in runs for q in ("q2",))]
    if without:
        notes.append(
            f"The log of {', '.join(without)} does not separate the clip events of all four quadrants, so their "
            f"shares are not known (which is not 0)."
        )
    return notes


def metrics_not_read(by_arm: dict[str, list[RunRecord]]) -> dict[str, list[str]]:
    """By arm of which only a log is known, the metrics in it that no table and no figure here is made of, by name."""
    read = {*DRAWN, *SOURCES, *OTHER_NAMES}
    return {
        arm: names
        for arm, runs in by_arm.items()
        if (
            names := sorted(
                name
                for name in {name for run in runs if run.manifest is None for name in run.metrics}
                if name not in read and not name.startswith(("shadow/", MASS))
            )
        )
    }


def thinned(steps: np.ndarray, values: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """A course in at most so many points: longer ones are means of equal stretches, each at its last step."""
    if len(steps) <= most:
        return steps, values
    parts = np.array_split(np.arange(len(steps)), most)
    return np.array([steps[part[-1]] for part in parts]), np.array([values[part].mean() for part in parts])


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are there; None if none is."""
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None


def _first(series: dict[int, float]) -> float | None:
    return series[min(series)] if series else None


def _final(series: dict[int, float]) -> float | None:
    return series[max(series)] if series else None


def _mean(series: dict[int, float] | None) -> float | None:
    return mean(series.values()) if series else None
