"""Progress of long work: a bar on a terminal, a line every tenth of the way elsewhere, a file for a parent process."""

import json
import multiprocessing
import os
import signal
import stat
import sys
import threading
import time
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import rich.progress
from rich.console import Console

from abcgrpo.files import write_text

PROGRESS_FILE = "ABCGRPO_PROGRESS_FILE"
"""Environment variable: where a process that was started by another reports its progress instead of showing it."""


ERROR_FILE = "error.txt"
"""Beside the progress file: why the command that was started failed, in its own words."""


def bars(time_left: rich.progress.ProgressColumn | None = None) -> rich.progress.Progress:
    """The columns of this package's progress bars. On standard error: standard output is for results.

    Args:
        time_left: the column that says how long it will still take; rich's own estimate by default.
    """
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(bar_width=24),
        rich.progress.TaskProgressColumn(),
        time_left or rich.progress.TimeRemainingColumn(),
        rich.progress.TextColumn("{task.fields[note]}", style="dim"),
        console=Console(stderr=True),
    )


class Display:
    """Progress bars that are on the screen from the beginning of a `with` block to its end, where there are any."""

    _bars: rich.progress.Progress | None

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()


class Progress(Display):
    """How far a piece of work is, what it last reported, and how long it will still take."""

    def __init__(self, name: str, total: int) -> None:
        self.name = name
        self.total = total
        self._done = 0
        self._note = ""
        self._started = time.monotonic()
        self._tenth_shown = 0
        self._file = Path(os.environ[PROGRESS_FILE]) if PROGRESS_FILE in os.environ else None
        self._bars = bars() if self._file is None and sys.stderr.isatty() else None
        if self._bars:
            self._task = self._bars.add_task(name, total=total, note="")

    def advance_to(self, done: int, note: str | None = None) -> None:
        """`done` of `total` is finished; `note` is shown beside it until there is another."""
        self._done = done
        self._note = self._note if note is None else note
        if self._file:
            state = {"name": self.name, "done": done, "total": self.total, "note": self._note}
            write_text(self._file, json.dumps(state))
        elif self._bars:
            self._bars.update(self._task, completed=done, total=self.total, note=self._note)
        else:
            self._print_tenth()

    def _print_tenth(self) -> None:
        tenth = self._done * 10 // max(self.total, 1)
        if tenth > self._tenth_shown:
            self._tenth_shown = tenth
            left = (time.monotonic() - self._started) * (self.total - self._done) / max(self._done, 1)
            note = f", {self._note}" if self._note else ""
            print(
                f"{self.name}: {self._done}/{self.total}, {left:.0f} s left{note}",
                file=sys.stderr,
                flush=True,
            )


def duration(seconds: float) -> str:
    """As people say it: 40 s, 12 min, 1 h 5 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def end_with_parent() -> None:
    """In a process that was started by another to report to it: end, by SIGTERM, when that one is gone.

    Python tells a process that was forked when its parent is gone. The parent of any other one holds the other end of
    standard input open, so that the input ends when the parent does, however it does.
    """
    parent = multiprocessing.parent_process()
    if PROGRESS_FILE not in os.environ or (parent is None and not stat.S_ISFIFO(os.fstat(0).st_mode)):
        return

    def wait() -> None:
        if parent is not None:
            parent.join()
        else:
            while os.read(0, 1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def read_progress(file: Path) -> dict[str, Any] | None:
    """What a child process last reported to its progress file; None before its first report."""
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        return None


def report_error(message: str) -> None:
    """In a process that was started by another: leave the reason of its failure for that one to quote."""
    if PROGRESS_FILE in os.environ:
        Path(os.environ[PROGRESS_FILE]).with_name(ERROR_FILE).write_text(message, encoding="utf-8")


def quiet_libraries() -> None:
    """Keep the loading bars and deprecation notes of transformers off the screen: ours is the progress to look at."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
