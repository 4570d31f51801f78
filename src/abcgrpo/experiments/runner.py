"""Runs an experiment: every training run and every evaluation is a command of this package, in a process of its own.

    <output>/experiment.json                      what is being run
    <output>/base/evaluation/                     samples of the base
    <output>/arms/<arm>/seed-<n>/recipe.yaml      `abcgrpo train` of this file gives the rest of the directory
    <output>/arms/<arm>/seed-<n>/evaluation/checkpoint-<step>/
    <output>/report/

With conditions there is an `arms` for each, in <output>/conditions/<condition>/.

What is finished is not done again. A training run or an evaluation that was cut short goes on.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any

from pydantic import ValidationError

from abcgrpo.errors import UserError
from abcgrpo.evaluation.models import checkpoints_of
from abcgrpo.evaluation.store import SAMPLES
from abcgrpo.experiments.board import Board, JobState
from abcgrpo.experiments.growth import HISTORY, changes
from abcgrpo.experiments.specification import EvaluationPlan, Experiment
from abcgrpo.files import locked, plain, read_json, write_json, write_yaml
from abcgrpo.progress import ERROR_FILE, PROGRESS_FILE
from abcgrpo.run_files import BASE, EVALUATED, EVALUATION, EXPERIMENT, MANIFEST, PROGRESS, TRAINING, job_directory
from abcgrpo.tasks import get_task, spec_text
from abcgrpo.tasks.benchmarks import file_grader


class CommandFailed(Exception):
    """A command ended with another exit code than 0; the message has its error and says where its output is."""


@dataclass(frozen=True)
class Job:
    """Commands that follow one another: a training run and its evaluation, or the base's evaluation."""

    name: str
    directory: Path
    recipe: dict | None = None
    """What to train with; None for the base."""

    @property
    def progress_file(self) -> Path:
        """Where the job's current command reports how far it is."""
        return self.directory / PROGRESS

    @property
    def error_file(self) -> Path:
        """Where the job's current command leaves the reason of its failure."""
        return self.directory / ERROR_FILE

    @property
    def training(self) -> Path:
        """The training run's directory."""
        return self.directory / TRAINING

    @property
    def evaluations(self) -> Path:
        """Where samples go, a directory for each model."""
        return self.directory / EVALUATION


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
    _children: set[subprocess.Popen] = field(init=False, default_factory=set, repr=False)

    def __post_init__(self) -> None:
        if (self.output / EXPERIMENT).exists():
            known = read_json(self.output / EXPERIMENT)
            self._history = known.pop(HISTORY, [])
            if self._has_results():
                with suppress(ValidationError):  # what an older version wrote lacks fields that have defaults now
                    known = plain(Experiment.model_validate(known).model_dump(mode="json"))
                self.changes = changes(known, self.experiment, str(self.output))
        self.jobs = list(self._plan())

    def _has_results(self) -> bool:
        return any(any(self.output.rglob(name)) for name in (MANIFEST, SAMPLES))

    def _plan(self) -> Iterator[Job]:
        yield Job(BASE, self.output / BASE)
        for run in self.experiment.runs():
            directory = job_directory(self.output, *run)
            recipe = self.experiment.recipe(run.arm, run.seed, str(directory / TRAINING), run.condition)
            yield Job(run.name, directory, recipe.to_flat())

    def run(self) -> dict[str, str]:
        """Do what is not done yet, several jobs at a time. Returns what went wrong, by the names of the jobs.

        A job that fails does not stop the others. SIGTERM stops all; training runs save where they stand first, as
        they do on Ctrl-C, which reaches them by itself.

        Raises:
            UserError: another process runs this experiment.
        """
        self.output.mkdir(parents=True, exist_ok=True)
        before = signal.signal(signal.SIGTERM, self._stop)
        try:
            with locked(self.output, f"Another process is running the experiment in {self.output}."):
                self._write_down()
                for job in self.jobs:  # what a session that was killed left would be read as of this one
                    job.progress_file.unlink(missing_ok=True)
                    job.error_file.unlink(missing_ok=True)
                return self._run()
        finally:
            signal.signal(signal.SIGTERM, before)

    def _write_down(self) -> None:
        if self.changes:
            finished = len(self.durations())
            entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "finished_runs": finished}
            self._history.append(entry | {"changes": self.changes})
        write_json(self.output / EXPERIMENT, self.experiment.model_dump(mode="json") | {HISTORY: self._history})

    def _stop(self, number: int, frame: FrameType | None) -> None:
        for child in list(self._children):
            child.terminate()
        raise SystemExit(128 + number)

    def _run(self) -> dict[str, str]:
        failures: dict[str, str] = {}
        places = device_places(len(self.jobs))
        free: SimpleQueue[dict[str, str]] = SimpleQueue()
        for place in places:
            free.put(place)
        states = {job.name: JobState(job.name, job.progress_file, job.recipe is not None) for job in self.jobs}

        def do(job: Job) -> None:
            state, place = states[job.name], free.get()
            state.started = time.monotonic()
            try:
                state.worked = self._do(job, place)
            except Exception as error:
                state.failed = True
                kind = "" if isinstance(error, CommandFailed | UserError) else f"{type(error).__name__}: "
                failures[job.name] = f"{kind}{error}"
            finally:
                state.ended = time.monotonic()
                free.put(place)

        board = Board(list(states.values()), len(places), [sum(each) for each in self.durations()])
        with board, ThreadPoolExecutor(len(places)) as pool:
            futures = [pool.submit(do, job) for job in self.jobs]
            try:
                while not all(future.done() for future in futures):
                    time.sleep(0.5)
                    write_json(self.output / PROGRESS, board.show())
                board.show()
            except BaseException:
                pool.shutdown(cancel_futures=True, wait=False)
                raise
        return failures

    def durations(self) -> list[tuple[float, float]]:
        """Seconds of training and of evaluation of every job that is finished."""
        found = []
        for job in self.jobs:
            manifest, evaluated = job.training / MANIFEST, job.directory / EVALUATED
            if job.recipe is not None and manifest.exists() and evaluated.exists():
                found.append((read_json(manifest).get("seconds", 0.0), read_json(evaluated).get("seconds", 0.0)))
        return found

    def _do(self, job: Job, place: dict[str, str]) -> bool:
        """Train, unless that is done; then take the samples that are missing. Returns whether there was anything."""
        job.directory.mkdir(parents=True, exist_ok=True)
        models, worked = [self.experiment.model_name_or_path], False
        if job.recipe is not None:
            manifest = job.training / MANIFEST
            if not manifest.exists() or read_json(manifest)["status"] != "finished":
                write_yaml(job.directory / "recipe.yaml", job.recipe)
                self._command(job, place, "train", str(job.directory / "recipe.yaml"))
                worked = True
            models = [str(path) for path in checkpoints_of(job.training)]
        finished, plan = job.directory / EVALUATED, self.experiment.evaluation
        wanted = {"models": models, "questions": plan.questions, "samples": plan.samples}
        known = read_json(finished) if finished.exists() else {}
        if {name: known.get(name) for name in wanted} != wanted:
            started = time.monotonic()
            options = [*self._evaluation_options(), "--output", str(job.evaluations)]
            self._command(job, place, "evaluate", *models, *options)
            seconds = known.get("seconds", 0.0) + time.monotonic() - started
            write_json(finished, wanted | {"seconds": round(seconds, 1)})
            worked = True
        return worked

    def _evaluation_options(self) -> list[str]:
        plan: EvaluationPlan = self.experiment.evaluation
        values = plan.model_dump(exclude={"pass_at_k", "benchmark"})
        grader = file_grader(plan.benchmark, get_task(self.experiment.task))
        rewards = ",".join(self.experiment.reward_funcs or ()) or None
        values |= {"benchmarks": plan.benchmark or spec_text(self.experiment.task)}
        values |= {"task": grader and grader.found_by, "reward_funcs": rewards}
        values |= {"prompt_template": self.experiment.prompt_template, "prompt_form": self.experiment.prompt_form}
        return [f"--{name.replace('_', '-')}={value}" for name, value in values.items() if value is not None]

    def _command(self, job: Job, place: dict[str, str], *arguments: str) -> None:
        """Run one command of this package with its output in the job's log."""
        job.progress_file.unlink(missing_ok=True)
        job.error_file.unlink(missing_ok=True)
        environment = os.environ | {PROGRESS_FILE: str(job.progress_file)} | place
        log = job.directory / "log.txt"
        with log.open("a", encoding="utf-8") as output:
            command = [sys.executable, "-m", "abcgrpo", *arguments]
            output.write(f"$ {' '.join(command)}\n")
            output.flush()
            # The other end of its input stays open as long as this process lives: `end_with_parent` waits for that.
            child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output)
            self._children.add(child)
            code = child.wait()
            self._children.discard(child)
            assert child.stdin is not None
            child.stdin.close()
        job.progress_file.unlink(missing_ok=True)
        if code != 0:
            raise CommandFailed(f"`abcgrpo {arguments[0]}` {_reason(code, job.error_file)} (its output: {log})")


def _reason(code: int, error_file: Path) -> str:
    """Why a command failed: in its own words, or by the signal that ended it."""
    if error_file.exists():
        return f"failed: {error_file.read_text(encoding='utf-8', errors='replace').strip()}"
    if code < 0:
        memory = "; the system does so where memory runs out" if -code == signal.SIGKILL else ""
        return f"was ended by {signal.Signals(-code).name}{memory}"
    return f"ended with exit code {code} and said no reason"


def device_places(jobs: int) -> list[dict[str, str]]:
    """The environment of each of the jobs that run at a time.

    On GPUs one job for each, which sees no other. On a CPU one for each core with one thread, since threads of several
    processes contend; fewer jobs than cores share the cores out.
    """
    import torch

    if torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
        return [{"CUDA_VISIBLE_DEVICES": name} for name in names[:jobs]]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(jobs, cores)
    return [{"OMP_NUM_THREADS": str(cores // workers)}] * workers
