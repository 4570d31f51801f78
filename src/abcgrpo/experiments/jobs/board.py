"""One progress display for all jobs of an experiment, and how long they will still take."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import TextColumn

from abcgrpo.progress import Display, bars, duration, read_progress


@dataclass
class JobState:
    """How far a job is."""

    name: str
    file: Path
    """Where the job's current command reports how far it is."""
    trains: bool
    """Whether there is a training run; if not, it is the base's evaluation."""
    started: float | None = None
    """Time in seconds of `time.monotonic`."""
    ended: float | None = None
    worked: bool = False
    """Whether there was anything left to do."""
    failed: bool = False

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return self.started is not None and self.ended is None

    def progress(self) -> dict[str, Any] | None:
        """What the current command last reported; None while nothing runs."""
        return read_progress(self.file) if self.running else None


def seconds_left(
    states: Sequence[JobState], workers: int, now: float, earlier: Sequence[float] = (), shares: dict | None = None
) -> float | None:
    """How long the jobs will still take; None as long as there is nothing to judge by.

    A job takes as long as the mean of those that are finished, here or in an earlier session. Before there is one, it
    is judged by the share of its training that is done, which leaves its evaluation out. The base's evaluation, which
    is short and comes first, counts for nothing.

    Args:
        states: all jobs.
        workers: jobs at a time.
        now: by the clock of the states.
        earlier: seconds that jobs of an earlier session took.
        shares: by job, how much of its current command is done, 0 … 1.
    """
    jobs = [state for state in states if state.trains]
    took = [
        state.ended - state.started
        for state in jobs
        if state.worked and state.started is not None and state.ended is not None
    ]
    known = [*took, *earlier]
    if not known:
        known = [
            (now - state.started) / share
            for state in jobs
            if state.running and state.started is not None and (share := (shares or {}).get(state.name, 0)) >= 0.05
        ]
    if not known:
        return None
    typical = sum(known) / len(known)
    waiting = sum(state.started is None for state in jobs)
    under_way = [
        max(typical - (now - state.started), 0.0) for state in jobs if state.running and state.started is not None
    ]
    if not waiting:
        return max(under_way, default=0.0)
    return (waiting * typical + sum(under_way)) / workers


class Board(Display):
    """On a terminal, a bar per running job and one for all; elsewhere a line when a job starts, moves on or ends."""

    def __init__(self, states: Sequence[JobState], workers: int, earlier: Sequence[float] = ()) -> None:
        """Args: all jobs, how many run at a time, and the seconds that jobs of an earlier session took."""
        self._states, self._workers, self._earlier = states, workers, earlier
        self._bars = bars(TextColumn("{task.fields[left]}")) if sys.stderr.isatty() else None
        self._tasks = {}
        self._said: dict[str, str] = {}
        if self._bars:
            self._all = self._bars.add_task("experiment", total=len(states), note="", left="")
            for state in states:
                self._tasks[state.name] = self._bars.add_task(f"  {state.name}", visible=False, note="", left="")

    def show(self) -> dict[str, Any]:
        """Bring the display up to date; returns what it says of all jobs: `finished`, `jobs`, `seconds_left`."""
        found = {state.name: state.progress() for state in self._states}
        shares = {name: each["done"] / max(each["total"], 1) for name, each in found.items() if each}
        seconds = seconds_left(self._states, self._workers, time.monotonic(), self._earlier, shares)
        left = "" if seconds is None else f"about {duration(seconds)} left"
        finished = sum(state.ended is not None for state in self._states)
        if self._bars:
            note = f"{finished} of {len(self._states)} jobs"
            self._bars.update(self._all, completed=finished, note=note, left=left)
        for state in self._states:
            progress = found[state.name]
            if self._bars:
                note = f"{progress['name']}  {progress['note']}" if progress else ""
                done, total = (progress["done"], progress["total"]) if progress else (0, 1)
                task = self._tasks[state.name]
                self._bars.update(task, visible=state.running, completed=done, total=total, note=note)
            else:
                self._say(state, progress, f"{finished}/{len(self._states)}", left)
        return {"finished": finished, "jobs": len(self._states), "seconds_left": seconds}

    def _say(self, state: JobState, progress: dict[str, Any] | None, finished: str, left: str) -> None:
        if state.ended is not None:
            line = "failed" if state.failed else "done"
        elif progress:
            quarter = progress["done"] * 4 // max(progress["total"], 1) * 25
            line = f"{progress['name']}, {quarter}%"
        else:
            return
        if self._said.get(state.name) != line:
            self._said[state.name] = line
            print(f"[{finished}] {state.name}: {line}{left and f' ({left})'}", file=sys.stderr, flush=True)
