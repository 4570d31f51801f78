"""Training logs into one form, whoever wrote them: metric → step → value.

Read are `trainer_state.json` of Hugging Face trainers, TensorBoard event files, and `metrics.jsonl` of our own runs. No
metric is left out for being unknown. Numbers only: other entries of a log are no series.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.files import read_json_lines
from abcgrpo.run_files import METRICS

STATE = "trainer_state.json"
EVENTS = "events.out.tfevents"

Series = dict[str, dict[int, float]]
"""Metric → optimizer step → value, steps ascending."""


@dataclass
class Log:
    """What one training run logged."""

    metrics: Series
    problems: list[str] = field(default_factory=list)
    """What a reader of the report must know of this log, in words."""


def read_log(path: Path) -> Log:
    """The log at a path: a `trainer_state.json`, a TensorBoard event file, a `metrics.jsonl`, or a directory of one.

    A directory may also be that of a Hugging Face run: the `trainer_state.json` of its last checkpoint is read. A file
    that was cut short is read as far as it goes, and `problems` says so.

    Raises:
        UserError: nothing of the kind is there, or nothing in it can be read.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist.")
    file = _log_in(path) if path.is_dir() else path
    problems: list[str] = []
    if file.is_dir() or EVENTS in file.name:
        lines = _tensorboard_lines(file, problems)
    elif file.suffix == ".jsonl":
        lines = _jsonl_lines(file, problems)
    else:
        lines = _state_lines(file, problems)
    metrics = collect(lines, problems)
    if not metrics:
        raise UserError(" ".join([f"{file} holds no logged number.", *problems]))
    return Log(metrics, [f"{file}: {problem}" for problem in problems])


def collect(lines: Iterable[dict[str, Any]], problems: list[str]) -> Series:
    """Series from lines in the order of logging, each a mapping with `step`.

    A line of an earlier step than the one before means that the run went on from a checkpoint: what it had logged from
    that step on is replaced. Values that are not finite are left out; both are said in `problems`.
    """
    by_step: dict[int, dict[str, float]] = {}
    not_finite: Counter[str] = Counter()
    last = None
    for line in lines:
        step = int(line["step"])
        if last is not None and step < last:
            stale = [each for each in by_step if each >= step]
            for each in stale:
                del by_step[each]
            problems.append(f"the run was resumed at step {step}; {len(stale)} steps logged before that are replaced.")
        last = step
        for name, value in line.items():
            number = _number(value)
            if name != "step" and number is not None:
                if math.isfinite(number):
                    by_step.setdefault(step, {})[name] = number
                else:
                    not_finite[name] += 1
    for name, count in sorted(not_finite.items()):
        problems.append(f"{name}: {count} values are not finite and are left out.")
    series: Series = {}
    for step in sorted(by_step):
        for name, value in by_step[step].items():
            series.setdefault(name, {})[step] = value
    return series


def _number(value: Any) -> float | None:
    """A logged value as a number. Our own files write an infinite one as a word, and NaN as null."""
    if value is None:
        return math.nan
    if isinstance(value, str) and value in ("inf", "-inf", "nan"):
        return float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _log_in(directory: Path) -> Path:
    """The log of a directory: the file, or the directory itself where event files are in it."""
    if (directory / METRICS).exists():
        return directory / METRICS
    if (directory / STATE).exists():
        return directory / STATE
    checkpoints = [path for path in directory.glob(f"checkpoint-*/{STATE}") if path.parent.name[11:].isdigit()]
    if checkpoints:
        return max(checkpoints, key=lambda path: int(path.parent.name[11:]))
    if any(directory.rglob(f"*{EVENTS}*")):
        return directory
    raise UserError(f"{directory} holds no log: no {STATE}, no {METRICS} and no TensorBoard event file.")


def _jsonl_lines(path: Path, problems: list[str]) -> Iterable[dict[str, Any]]:
    lines = read_json_lines(path)
    while True:
        try:
            yield next(lines)
        except StopIteration:
            return
        except UserError as error:
            problems.append(f"read up to a broken line. {error}")
            return


def _state_lines(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    """`log_history`; of a file that was cut short, the entries that are whole."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text, and its name is not that of a TensorBoard event file.") from None
    if not text.strip():
        raise UserError(f"{path} is empty.")
    try:
        content = json.loads(text)
    except ValueError as error:
        history = _whole_entries(text)
        if not history:
            raise UserError(f"{path} is not valid JSON ({error}), and no logged step can be read from it.") from None
        problems.append(f"the file is cut short or damaged ({error}); {len(history)} logged entries could be read.")
    else:
        history = content.get("log_history") if isinstance(content, dict) else None
        if not isinstance(history, list):
            raise UserError(f"{path} has no log_history: it is no {STATE} of a Hugging Face trainer.")
    return [entry for entry in history if isinstance(entry, dict) and "step" in entry]


def _whole_entries(text: str) -> list[Any]:
    """The entries of `log_history` up to the place where the text stops being JSON."""
    _, found, rest = text.partition('"log_history"')
    start = rest.find("[") + 1
    entries: list[Any] = []
    decoder = json.JSONDecoder()
    while found and start:
        while start < len(rest) and rest[start] in " \t\r\n,":
            start += 1
        try:
            entry, start = decoder.raw_decode(rest, start)
        except ValueError:
            break
        entries.append(entry)
    return entries


def _tensorboard_lines(path: Path, problems: list[str]) -> Iterable[dict[str, Any]]:
    """Scalars of event files, in the order of writing, with the names that `trainer_state.json` has for them."""
    try:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError:
        raise UserError(
            f"{path} holds TensorBoard event files, and reading them needs tensorboard: pip install abcgrpo[report]"
        ) from None
    files = sorted(path.rglob(f"*{EVENTS}*")) if path.is_dir() else [path]
    events = []
    for file in files:
        try:
            events += [event for event in EventFileLoader(str(file)).Load() if event.HasField("summary")]
        except Exception as error:  # whatever a damaged file makes the reader raise
            problems.append(f"{file.name} is cut short or damaged: {type(error).__name__}: {error}.")
    for event in sorted(events, key=lambda event: event.wall_time):
        values = {}
        for value in event.summary.value:
            array = make_ndarray(value.tensor) if value.HasField("tensor") else None
            if array is not None and array.size == 1 and array.dtype.kind in "fiu":
                values[_metric_name(value.tag)] = float(array.reshape(()))
        if values:
            yield {"step": event.step} | values


def _metric_name(tag: str) -> str:
    """Hugging Face trainers write `reward` as the tag `train/reward` and `eval_reward` as `eval/reward`."""
    return "eval_" + tag[5:] if tag.startswith("eval/") else tag.removeprefix("train/")
