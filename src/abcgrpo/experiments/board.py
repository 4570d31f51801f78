"""One progress display for all jobs of an experiment."""

import sys
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

from abcgrpo.progress import bars, read_progress

Jobs = dict[str, tuple[Future, Path]]
"""Each job's future, and the file in which its current command reports how far it is."""


class Board:
    """On a terminal, a bar per running job and one for all; elsewhere a line when a job starts, moves on or ends."""

    def __init__(self, names: list[str]) -> None:
        self._bars = bars() if sys.stderr.isatty() else None
        self._tasks = {}
        self._said: dict[str, str] = {}
        if self._bars:
            self._all = self._bars.add_task("experiment", total=len(names), note="jobs")
            self._tasks = {name: self._bars.add_task(f"  {name}", visible=False, note="") for name in names}

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def show(self, jobs: Jobs) -> None:
        """Bring the display up to date."""
        finished = sum(future.done() for future, _ in jobs.values())
        if self._bars:
            self._bars.update(self._all, completed=finished)
        for name, (future, file) in jobs.items():
            state = read_progress(file) if future.running() else None
            if self._bars:
                note = f"{state['name']}  {state['note']}" if state else ""
                done, total = (state["done"], state["total"]) if state else (0, 1)
                self._bars.update(self._tasks[name], visible=future.running(), completed=done, total=total, note=note)
            else:
                self._say(name, future, state, f"{finished}/{len(jobs)}")

    def _say(self, name: str, future: Future, state: dict | None, finished: str) -> None:
        if future.done():
            line = "failed" if future.exception() else "done"
        elif state:
            quarter = state["done"] * 4 // max(state["total"], 1) * 25
            line = f"{state['name']}, {quarter}%"
        else:
            return
        if self._said.get(name) != line:
            self._said[name] = line
            print(f"[{finished}] {name}: {line}", file=sys.stderr, flush=True)
