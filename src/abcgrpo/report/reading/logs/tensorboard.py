"""TensorBoard event files of one run."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError

EVENTS = "events.out.tfevents"


@dataclass
class EventFile:
    """The scalars of one file, in the order of writing."""

    path: Path
    times: list[float]
    lines: list[dict[str, Any]]


def event_lines(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    """Scalars of an event file, or of all in a directory, in the order of writing.

    Several files are one run where each goes on from another: it was begun when the other had ended, at a later step
    than the other had begun with. Files without scalars (Hugging Face trainers write one for their settings) are none.

    Raises:
        UserError: they are several runs, or tensorboard is not installed.
    """
    files = sorted(path.rglob(f"*{EVENTS}*")) if path.is_dir() else [path]
    found = sorted((file for each in files if (file := _read(each, problems)).lines), key=lambda file: file.times[0])
    for before, after in pairwise(found):
        if after.times[0] < before.times[-1] or after.lines[0]["step"] <= before.lines[0]["step"]:
            raise UserError(
                f"{path} holds event files of two runs, {before.path.relative_to(path)} and "
                f"{after.path.relative_to(path)}: the second does not continue where the first stopped. Give each "
                f"run's directory or file as a --log of its own."
            )
    return [line for file in found for line in file.lines]


def _read(path: Path, problems: list[str]) -> EventFile:
    try:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError:
        raise UserError(
            f"{path} is a TensorBoard event file, and reading it needs tensorboard: pip install abcgrpo[report]"
        ) from None
    file = EventFile(path, [], [])
    try:
        for event in EventFileLoader(str(path)).Load():
            values = {}
            for value in event.summary.value if event.HasField("summary") else ():
                array = make_ndarray(value.tensor) if value.HasField("tensor") else None
                if array is not None and array.size == 1 and array.dtype.kind in "fiu":
                    values[value.tag] = float(array.reshape(()))
            if values:
                file.times.append(event.wall_time)
                file.lines.append({"step": event.step} | values)
    except Exception as error:  # whatever a damaged file makes the reader raise
        problems.append(f"{path.name} is truncated or damaged: {type(error).__name__}: {error}.")
    return file
