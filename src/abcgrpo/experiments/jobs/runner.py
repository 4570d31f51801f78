"""Runs an experiment: all its jobs, on this machine or on a Ray cluster.

    <output>/experiment.json                      what is being run
    <output>/base/evaluation/                     samples of the base
    <output>/arms/<arm>/seed-<n>/recipe.yaml      `abcgrpo train` of this file gives the rest of the directory
    <output>/arms/<arm>/seed-<n>/evaluation/checkpoint-<step>/
    <output>/report/

With conditions there is an `arms` for each, in <output>/conditions/<condition>/.
"""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any

from pydantic import ValidationError

from abcgrpo.errors import UserError
from abcgrpo.evaluation.results import suspicions
from abcgrpo.evaluation.store import SAMPLES, SETTINGS, read_evaluation
from abcgrpo.experiments.growth import changes
from abcgrpo.experiments.jobs.board import Board, JobState
from abcgrpo.experiments.jobs.job import Job, Worker, device_places, in_words, seconds_of_finished
from abcgrpo.experiments.specification import Experiment
from abcgrpo.files import locked, plain, read_json, write_json
from abcgrpo.run_files import (
    BASE,
    EVALUATED,
    EXPERIMENT,
    GRADED_WITH,
    HISTORY,
    MANIFEST,
    PROGRESS,
    TRAINING,
    job_directory,
)

FIRST_SAMPLES = 16
"""Answers of the base to each question before training begins."""


@dataclass
class ExperimentRunner:
    """An experiment in a directory.

    Raises:
        UserError: the directory holds runs that this one would mix with others, or leave out: see `growth.changes`.
    """

    experiment: Experiment
    output: Path
    jobs: list[Job] = field(init=False)
    changes: list[str] = field(init=False, default_factory=list)
    """What is other than when the results that the directory holds were made, in words."""
    _history: list[dict[str, Any]] = field(init=False, default_factory=list)
    worker: Worker = field(init=False)
    """Does the jobs."""

    def __post_init__(self) -> None:
        if (self.output / EXPERIMENT).exists():
            known = read_json(self.output / EXPERIMENT)
            self._history = known.pop(HISTORY, [])
            if self._has_results():
                written = {name: value for name, value in known.items() if name != GRADED_WITH}
                with suppress(ValidationError):  # what an older version wrote lacks fields that have defaults now
                    known |= plain(Experiment.model_validate(written).model_dump(mode="json"))
                self.changes = changes(known, self.experiment, str(self.output), self._has_trained())
        self.jobs = list(self._plan())
        self.worker = Worker(self.experiment, graded_with=self.experiment.graded_with)

    def _has_results(self) -> bool:
        return any(any(self.output.rglob(name)) for name in (MANIFEST, SAMPLES))

    def _has_trained(self) -> bool:
        return any(read_json(path).get("status") == "finished" for path in self.output.rglob(MANIFEST))

    def _plan(self) -> Iterator[Job]:
        yield Job(BASE, self.output / BASE)
        for run in self.experiment.runs():
            directory = job_directory(self.output, *run)
            recipe = self.experiment.recipe(run.arm, run.seed, str(directory / TRAINING), run.condition)
            yield Job(run.name, directory, recipe.to_flat(), self.experiment.resources_of(run.arm))

    def run(self, ray_address: str | None = None) -> dict[str, str]:
        """Do what is not done yet, several jobs at a time. Returns what went wrong, by the names of the jobs.

        A job that fails does not stop the others. SIGTERM and Ctrl-C stop all; training runs save where they stand
        first. A second signal stops them at once.

        Args:
            ray_address: of the Ray cluster that does the jobs; None for this machine.

        Raises:
            UserError: another process runs this experiment, or no machine can do one of its jobs.
        """
        self.output.mkdir(parents=True, exist_ok=True)
        before = signal.signal(signal.SIGTERM, _exit)
        try:
            with locked(self.output, f"Another process is running the experiment in {self.output}."):
                run = self._prepared_on_ray(ray_address) if ray_address else self._prepared_here()
                self._write_down()
                for job in self.jobs:  # what a session that was killed left would be read as of this one
                    job.progress_file.unlink(missing_ok=True)
                    job.error_file.unlink(missing_ok=True)
                self._look_at_the_base(run)
                return run(self.jobs)
        finally:
            signal.signal(signal.SIGTERM, before)

    def _write_down(self) -> None:
        if self.changes:
            finished = len(self.durations())
            entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "finished_runs": finished}
            self._history.append(entry | {"changes": self.changes})
        recorded = self.experiment.model_dump(mode="json") | {GRADED_WITH: self.experiment.graded_with}
        write_json(self.output / EXPERIMENT, recorded | {HISTORY: self._history})

    def _look_at_the_base(self, run: Callable[[list[Job]], dict[str, str]]) -> None:
        """Take the base's first samples before anything is trained, and say so if no training can come of them.

        They are part of the base's evaluation, which goes on from them beside the training runs.
        """
        base = self.jobs[0]
        if base.recipe is not None:  # not planned here
            return
        if not (base.directory / EVALUATED).exists():
            run([replace(base, samples=min(FIRST_SAMPLES, self.experiment.evaluation.samples))])
        for settings in sorted(base.evaluations.rglob(SETTINGS)):
            with suppress(UserError):  # samples are missing: the job failed, and says why when it is tried again
                for warning in suspicions(read_evaluation(settings.parent)):
                    print(f"WARNING. The base: {warning}", file=sys.stderr, flush=True)

    def _states(self, jobs: list[Job]) -> dict[str, JobState]:
        return {job.name: JobState(job.name, job.progress_file, job.recipe is not None) for job in jobs}

    def _board(self, states: dict[str, JobState], at_a_time: int) -> Board:
        return Board(list(states.values()), at_a_time, [sum(each) for each in self.durations()])

    def _prepared_here(self) -> Callable[[list[Job]], dict[str, str]]:
        places = device_places(self.jobs)
        return lambda jobs: self._run_here(jobs, places)

    def _run_here(self, jobs: list[Job], places: list[dict[str, str]]) -> dict[str, str]:
        failures: dict[str, str] = {}
        free: SimpleQueue[dict[str, str]] = SimpleQueue()
        for place in places:
            free.put(place)
        states = self._states(jobs)

        def do(job: Job) -> None:
            state, place = states[job.name], free.get()
            state.started = time.monotonic()
            try:
                state.worked = self.worker.do(job, place)
            except Exception as error:
                state.failed = True
                failures[job.name] = in_words(error)
            finally:
                state.ended = time.monotonic()
                free.put(place)

        board = self._board(states, len(places))
        with board, ThreadPoolExecutor(len(places)) as pool:
            futures = [pool.submit(do, job) for job in jobs]
            try:
                while not all(future.done() for future in futures):
                    time.sleep(0.5)
                    write_json(self.output / PROGRESS, board.show())
                board.show()
            except BaseException:
                pool.shutdown(cancel_futures=True, wait=False)
                self._stop(futures)
                raise
        return failures

    def _stop(self, futures: list[Future]) -> None:
        self.worker.stop()
        while not all(future.done() for future in futures):
            try:
                time.sleep(0.1)
            except (KeyboardInterrupt, SystemExit):
                self.worker.stop()

    def _prepared_on_ray(self, address: str) -> Callable[[list[Job]], dict[str, str]]:
        from abcgrpo.experiments.jobs import on_ray

        on_ray.connect(address)
        on_ray.require_placeable(self.jobs)
        on_ray.require_shared(self.output)
        return self._run_on_ray

    def _run_on_ray(self, jobs: list[Job]) -> dict[str, str]:
        from abcgrpo.experiments.jobs import on_ray

        states = self._states(jobs)
        board = self._board(states, on_ray.at_a_time(jobs))

        def watch(ended: dict[str, bool | str]) -> None:
            now = time.monotonic()
            for name, state in states.items():
                if state.started is None and (name in ended or state.file.exists()):
                    state.started = now
                if name in ended and state.ended is None:
                    state.ended, state.failed = now, isinstance(ended[name], str)
                    state.worked = bool(ended[name])
            write_json(self.output / PROGRESS, board.show())

        with board:
            return on_ray.run_jobs(self.worker, jobs, watch)

    def durations(self) -> list[tuple[float, float]]:
        """Seconds of training and of evaluation of every job that is finished."""
        return seconds_of_finished(self.jobs)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
