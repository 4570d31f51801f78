"""How an experiment stands, read from its directory by another process: jobs, time left, failures, first curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from abcgrpo.errors import UserError
from abcgrpo.files import is_locked, read_json, read_json_lines
from abcgrpo.progress import ERROR_FILE, duration, read_progress
from abcgrpo.run_files import (
    BASE,
    EVALUATED,
    EXPERIMENT,
    MANIFEST,
    METRICS,
    PROGRESS,
    TRAINING,
    job_directory,
)

CURVES = ("reward", "entropy")
"""What is shown of runs that are under way."""
POINTS = 12
"""Parts that a curve is drawn in."""
BLOCKS = "▁▂▃▄▅▆▇█"


def status(directory: Path) -> dict[str, Any]:
    """The state of an experiment while it runs, and afterwards.

    Returns:
        `running` (whether a process works on it now), `seconds_left` (None if nothing is known), `jobs` (a list of
        `name`, `arm`, `condition`, `seed`, `state`, `progress` and `error`), and `curves`: by arm, and condition where
        there are any, `reward` and `entropy` over training, as means over the runs.

    Raises:
        UserError: the directory holds no experiment.
    """
    if not (directory / EXPERIMENT).exists():
        raise UserError(f"{directory} holds no experiment: there is no {EXPERIMENT} in it.")
    experiment = read_json(directory / EXPERIMENT)
    running = is_locked(directory)
    jobs = [{"name": BASE, "arm": None, "condition": None, "seed": None} | _state(directory / BASE, running)]
    curves: dict[str, dict[str, list[float | None]]] = {}
    for condition in experiment.get("conditions") or [None]:
        for arm in experiment["arms"]:
            label = ", ".join(filter(None, [condition, arm]))
            places = {seed: job_directory(directory, arm, seed, condition) for seed in experiment["seeds"]}
            for seed, place in places.items():
                job = {"name": f"{label}, seed {seed}", "arm": arm, "condition": condition, "seed": seed}
                jobs.append(job | _state(place, running))
            curves[label] = _curves([place / TRAINING / METRICS for place in places.values()])
    overall = read_progress(directory / PROGRESS) if running else None
    return {
        "running": running,
        "seconds_left": overall["seconds_left"] if overall else None,
        "jobs": jobs,
        "curves": curves,
    }


def _state(job: Path, running: bool) -> dict[str, Any]:
    """`done`, `failed`, `running`, `interrupted` or `waiting`, with what is known of it."""
    error = (job / ERROR_FILE).read_text(encoding="utf-8").strip() if (job / ERROR_FILE).exists() else None
    progress = read_progress(job / PROGRESS)
    manifest = job / TRAINING / MANIFEST
    if error is not None:
        state = "failed"
    elif progress is not None and running:
        state = "running"
    elif (job / EVALUATED).exists():
        state, progress = "done", None
    elif progress is not None or (manifest.exists() and read_json(manifest)["status"] != "finished"):
        state = "interrupted"
    else:
        state = "waiting"
    return {"state": state, "progress": progress, "error": error}


def _curves(logs: Sequence[Path]) -> dict[str, list[float | None]]:
    """By metric, the mean over runs in each of `POINTS` equal parts of training; None if nothing is logged yet."""
    lines = [line for log in logs if log.exists() for line in read_json_lines(log)]
    last = max((line["step"] for line in lines), default=0)
    found: dict[str, list[float | None]] = {}
    for name in CURVES:
        parts: list[list[float]] = [[] for _ in range(POINTS)]
        for line in lines:
            if isinstance(value := line.get(name), int | float):
                parts[max(line["step"] * POINTS - 1, 0) // max(last, 1)].append(float(value))
        if any(parts):
            found[name] = [sum(part) / len(part) if part else None for part in parts]
    return found


def summary(found: dict[str, Any]) -> str:
    """The jobs in one line."""
    counts = {state: sum(job["state"] == state for job in found["jobs"]) for state in STATES}
    said = [f"{count} {state}" for state, count in counts.items() if count]
    left = "" if found["seconds_left"] is None else f"; about {duration(found['seconds_left'])} left"
    now = "running" if found["running"] else "no process works on it now"
    return f"{len(found['jobs'])} jobs: {', '.join(said)}{left} ({now})"


STATES = ("done", "running", "waiting", "interrupted", "failed")


def terminal(found: dict[str, Any]) -> list[Any]:
    """The status for a reader: a line, what runs, a line of curves for each arm, and failures in their own words."""
    parts: list[Any] = [summary(found)]
    for job in found["jobs"]:
        if job["state"] == "running":
            progress = job["progress"]
            share = progress["done"] * 100 // max(progress["total"], 1)
            parts.append(f"  {job['name']}: {progress['name']}, {share}%  {progress['note']}".rstrip())
    if any(found["curves"].values()):
        table = Table(title="Over training so far, mean over runs: first to last", title_justify="left")
        for title in ("", *CURVES):
            table.add_column(title)
        for label, curves in found["curves"].items():
            table.add_row(label, *(_drawn(curves.get(name)) for name in CURVES))
        parts.append(table)
    for job in found["jobs"]:
        if job["state"] == "failed":
            parts.append(f"FAILED {job['name']}: {job['error']}")
    return parts


def _drawn(values: list[float | None] | None) -> str:
    known = [value for value in values or [] if value is not None]
    if not known:
        return "–"
    low, span = min(known), max(known) - min(known)
    blocks = [BLOCKS[round((value - low) / span * (len(BLOCKS) - 1)) if span else 0] for value in known]
    return f"{known[0]:.3f} {''.join(blocks)} {known[-1]:.3f}"
