"""Logs that are lines: JSONL, and what W&B exports as CSV or JSON."""

import csv
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.report.reading.logs.series import STEPS, with_step

RANGES = ("__MIN", "__MAX")
"""How the columns of a W&B panel end that hold the range of a smoothed point."""
RUN = " - "
"""What stands between run and metric in the columns of a W&B panel."""


def jsonl_lines(path: Path, text: str, problems: list[str]) -> Iterator[dict[str, Any]]:
    """The lines of a JSONL file up to a broken one; verl's `{"step": …, "data": {…}}` with its data spread out.

    A last line that a crash truncated is left out.

    Raises:
        UserError: a line without a step.
    """
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        try:
            found = json.loads(line)
        except ValueError as error:
            if line.endswith("\n"):
                problems.append(f"read up to a broken line. {path}, line {number}, is not valid JSON: {error}.")
            return
        if not isinstance(found, dict):
            raise UserError(f"{path}, line {number}, is not a JSON object.")
        data = found.get("data")
        yield with_step(found | data if isinstance(data, dict) else found, f"{path}, line {number},")


def record_lines(path: Path, text: str) -> Iterator[dict[str, Any]]:
    """A JSON list of objects, such as a W&B history written with `orient="records"`.

    Raises:
        UserError: it is not JSON, or one of its entries is no object with a step.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from None
    for number, found in enumerate(content, start=1):
        if not isinstance(found, dict):
            raise UserError(
                f"{path} is a list whose entry {number} is not an object. A training log in JSON is a "
                f"trainer_state.json (with log_history), and a list of objects with a step, as W&B exports a history."
            )
        # A data frame has every column in every row: null if nothing was logged in it.
        logged = {name: value for name, value in found.items() if value is not None}
        yield with_step(logged, f"{path}, entry {number},")


def csv_lines(path: Path, text: str) -> Iterator[dict[str, Any]]:
    """A CSV file with a column for the step and one for each metric: a W&B history, or a W&B panel of one run.

    Raises:
        UserError: no column for the step, or several runs in one panel.
    """
    reader = csv.DictReader(StringIO(text))
    columns = list(reader.fieldnames or ())
    if not any(name in columns for name in STEPS):
        raise UserError(
            f"{path} has no column for the step: it should be called {' or '.join(STEPS)}; there are: "
            f"{', '.join(columns)}."
        )
    runs = sorted({name.partition(RUN)[0] for name in columns if RUN in name})
    if len(runs) > 1:
        raise UserError(
            f"{path} holds the runs {', '.join(runs)} in one file: export each run by itself, and give each as a --log "
            f"of its own."
        )
    kept = {name: name.partition(RUN)[2] or name for name in columns if not name.endswith(RANGES)}
    for number, row in enumerate(reader, start=2):
        found = {metric: value for name, metric in kept.items() if (value := _number(row[name])) is not None}
        yield with_step(found, f"{path}, line {number},")


def _number(cell: str | None) -> float | None:
    """The number in a cell; None if there is none. Infinite ones and NaN are numbers, as in other logs."""
    try:
        return float(cell) if cell else None
    except ValueError:
        return None
