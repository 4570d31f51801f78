"""Training logs into one form, whoever wrote them.

| module          | what it reads                                                                            |
|-----------------|------------------------------------------------------------------------------------------|
| `trainer_state` | `trainer_state.json` of Hugging Face trainers                                            |
| `tensorboard`   | event files                                                                              |
| `lines`         | JSONL (ours, verl's file logger, W&B's history), W&B exports as CSV and JSON             |
| `series`        | from lines to metric → step → value                                                      |
| `names`         | verl's names for what this package has names for                                         |

No metric is left out for being unknown. Numbers only: other entries of a log are no series.
"""

from dataclasses import dataclass, field
from pathlib import Path

from abcgrpo.errors import UserError
from abcgrpo.report.reading.logs.lines import csv_lines, jsonl_lines, record_lines
from abcgrpo.report.reading.logs.names import with_our_names
from abcgrpo.report.reading.logs.series import Series, collect
from abcgrpo.report.reading.logs.tensorboard import EVENTS, event_lines
from abcgrpo.report.reading.logs.trainer_state import STATE, state_lines
from abcgrpo.run_files import METRICS, checkpoints_in

WANDB = ".wandb"

__all__ = ["Log", "Series", "read_log"]


@dataclass
class Log:
    """What one training run logged."""

    metrics: Series
    problems: list[str] = field(default_factory=list)
    """What a reader of the report must know of this log, in words."""


def read_log(path: Path) -> Log:
    """The log at a path: a file that one of the modules reads, or a directory with one.

    A directory may also be that of a Hugging Face run: the `trainer_state.json` of its last checkpoint is read. A file
    that is truncated is read as far as possible, and `problems` says so.

    Raises:
        UserError: nothing of the kind is there, nothing in it can be read, there are two runs in it, or it is W&B's own
            form; the message says what to do.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist.")
    file = _log_in(path) if path.is_dir() else path
    if file.suffix == WANDB:
        raise _wandb(file)
    problems: list[str] = []
    if file.is_dir() or EVENTS in file.name:
        lines = event_lines(file, problems)
    else:
        text = _text(file)
        if file.suffix == ".jsonl":
            lines = jsonl_lines(file, text, problems)
        elif file.suffix == ".csv":
            lines = csv_lines(file, text)
        elif text.lstrip().startswith("["):
            lines = record_lines(file, text)
        else:
            lines = state_lines(file, text, problems)
    metrics = with_our_names(collect(lines, problems))
    if not metrics:
        raise UserError(" ".join([f"{file} holds no logged number.", *problems]))
    return Log(metrics, [f"{file}: {problem}" for problem in problems])


def _text(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{file} is not text, and its name is not that of a TensorBoard event file.") from None
    if not text.strip():
        raise UserError(f"{file} is empty.")
    return text


def _log_in(directory: Path) -> Path:
    """The log of a directory: the file, or the directory itself where event files are in it."""
    if (directory / METRICS).exists():
        return directory / METRICS
    if (directory / STATE).exists():
        return directory / STATE
    if checkpoints := [path for path in checkpoints_in(directory) if (path / STATE).exists()]:
        return checkpoints[-1] / STATE
    if any(directory.rglob(f"*{EVENTS}*")):
        return directory
    if found := next(directory.rglob(f"*{WANDB}"), None):
        return found
    jsonl = sorted(directory.glob("*.jsonl"))
    if len(jsonl) == 1:
        return jsonl[0]
    several = f" Give one of its JSONL files: {', '.join(path.name for path in jsonl)}." if jsonl else ""
    raise UserError(
        f"{directory} holds no log: no {STATE}, no {METRICS}, no TensorBoard event file and no W&B run.{several}"
    )


def _wandb(file: Path) -> UserError:
    run = file.stem.removeprefix("run-")
    return UserError(
        f"{file} is in W&B's own format, which only W&B reads. Export the run's history and give that file instead: "
        f"`wandb sync {file.parent}` if it was logged offline, then in Python\n"
        f'    run = wandb.Api().run("ENTITY/PROJECT/{run}")\n'
        f'    pandas.DataFrame(run.scan_history()).to_csv("{run}.csv", index=False)\n'
        f"and --log NAME={run}.csv."
    )
