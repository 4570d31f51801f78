"""Runs an experiment: every training run and every evaluation is a command of this package, in a process of its own.

    <output>/experiment.json                      what is being run
    <output>/base/evaluation/                     samples of the base
    <output>/arms/<arm>/seed-<n>/recipe.yaml      `abcgrpo train` of this file gives the rest of the directory
    <output>/arms/<arm>/seed-<n>/evaluation/checkpoint-<step>/
    <output>/report/

What is finished is not done again. A training run or an evaluation that was cut short goes on.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from abcgrpo.errors import UserError
from abcgrpo.evaluation.models import checkpoints_of
from abcgrpo.experiments.board import Board
from abcgrpo.experiments.specification import EvaluationPlan, Experiment
from abcgrpo.files import locked, plain, read_json, write_json, write_yaml
from abcgrpo.progress import PROGRESS_FILE

SPECIFICATION = "experiment.json"


class CommandFailed(Exception):
    """A command ended with another exit code than 0; the message says where its output is, and its last line."""


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
        return self.directory / "progress.json"

    @property
    def evaluations(self) -> Path:
        """Where samples go, a directory for each model."""
        return self.directory / "evaluation"


@dataclass
class ExperimentRunner:
    """An experiment in a directory.

    Raises:
        UserError: the directory holds another experiment.
    """

    experiment: Experiment
    output: Path
    jobs: list[Job] = field(init=False)
    _children: set[subprocess.Popen] = field(init=False, default_factory=set, repr=False)

    def __post_init__(self) -> None:
        specification = plain(self.experiment.model_dump(mode="json"))
        path = self.output / SPECIFICATION
        if path.exists():
            known = read_json(path)
            changed = sorted(name for name in {*known, *specification} if known.get(name) != specification.get(name))
            if changed:
                raise UserError(
                    f"{self.output} holds runs of an experiment that differs in {', '.join(changed)}. Give another "
                    f"--output, or remove that directory."
                )
        else:
            write_json(path, specification)
        self.jobs = list(self._plan())

    def _plan(self) -> Iterator[Job]:
        yield Job("base", self.output / "base")
        for seed in self.experiment.seeds:
            for arm in self.experiment.arms:
                directory = self.output / "arms" / arm / f"seed-{seed}"
                recipe = self.experiment.recipe(arm, seed, str(directory / "training"))
                yield Job(f"{arm}, seed {seed}", directory, recipe.to_flat())

    def run(self) -> dict[str, str]:
        """Do what is not done yet, several jobs at a time. Returns what went wrong, by the names of the jobs.

        A job that fails does not stop the others. SIGTERM stops all; training runs save where they stand first, as
        they do on Ctrl-C, which reaches them by itself.

        Raises:
            UserError: another process runs this experiment.
        """
        before = signal.signal(signal.SIGTERM, self._stop)
        try:
            with locked(self.output, f"Another process is running the experiment in {self.output}."):
                return self._run()
        finally:
            signal.signal(signal.SIGTERM, before)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        for child in list(self._children):
            child.terminate()
        raise SystemExit(128 + number)

    def _run(self) -> dict[str, str]:
        failures: dict[str, str] = {}
        with Board([job.name for job in self.jobs]) as board, ThreadPoolExecutor(self._workers()) as pool:
            futures = {job.name: pool.submit(self._do, job) for job in self.jobs}
            try:
                while not all(future.done() for future in futures.values()):
                    time.sleep(0.5)
                    board.show({job.name: (futures[job.name], job.progress_file) for job in self.jobs})
            except BaseException:
                pool.shutdown(cancel_futures=True, wait=False)
                raise
            for name, future in futures.items():
                error = future.exception()
                if isinstance(error, CommandFailed):
                    failures[name] = str(error)
                elif error:
                    raise error
        return failures

    def _workers(self) -> int:
        """On a CPU a process per core with a thread each, since threads of several processes contend; on GPUs one."""
        import torch

        return 1 if torch.cuda.is_available() else min(len(self.jobs), os.cpu_count() or 1)

    def _do(self, job: Job) -> None:
        """Train, unless that is done; then take the samples that are missing."""
        job.directory.mkdir(parents=True, exist_ok=True)
        if job.recipe is None:
            models = [self.experiment.model_name_or_path]
        else:
            training = job.directory / "training"
            if not (training / "run.json").exists() or read_json(training / "run.json")["status"] != "finished":
                write_yaml(job.directory / "recipe.yaml", job.recipe)
                self._command(job, "train", str(job.directory / "recipe.yaml"))
            models = [str(path) for path in checkpoints_of(training)]
        finished = job.directory / "evaluated.json"
        if not finished.exists() or read_json(finished)["models"] != models:
            self._command(job, "evaluate", *models, *self._evaluation_options(), "--output", str(job.evaluations))
            write_json(finished, {"models": models})

    def _evaluation_options(self) -> list[str]:
        plan: EvaluationPlan = self.experiment.evaluation
        values = plan.model_dump(exclude={"pass_at_k", "benchmark"})
        values |= {"benchmarks": plan.benchmark or self.experiment.task}
        values |= {"prompt_template": self.experiment.prompt_template, "prompt_form": self.experiment.prompt_form}
        return [f"--{name.replace('_', '-')}={value}" for name, value in values.items() if value is not None]

    def _command(self, job: Job, *arguments: str) -> None:
        """Run one command of this package with its output in the job's log."""
        job.progress_file.unlink(missing_ok=True)
        threads = str(max(1, (os.cpu_count() or 1) // self._workers()))
        environment = os.environ | {PROGRESS_FILE: str(job.progress_file), "OMP_NUM_THREADS": threads}
        log = job.directory / "log.txt"
        with log.open("a", encoding="utf-8") as output:
            command = [sys.executable, "-m", "abcgrpo", *arguments]
            output.write(f"$ {' '.join(command)}\n")
            output.flush()
            child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            self._children.add(child)
            code = child.wait()
            self._children.discard(child)
        if code != 0:
            lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
            raise CommandFailed(f"`abcgrpo {arguments[0]}` ended with exit code {code}: {lines[-1]} (all of it: {log})")
