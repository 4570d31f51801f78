"""A job of an experiment: commands of this package that follow one another, each in processes of its own.

What is finished is not done again. An interrupted training run or evaluation resumes.
"""

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.evaluation.options import EvaluationOptions
from abcgrpo.experiments.jobs.command import Command, start
from abcgrpo.experiments.specification import Experiment, Resources
from abcgrpo.files import is_locked, read_json, write_json, write_yaml
from abcgrpo.progress import ERROR_FILE, PROGRESS_FILE
from abcgrpo.run_files import EVALUATED, EVALUATION, MANIFEST, PROGRESS, TRAINING, checkpoints_in
from abcgrpo.tasks import get_task
from abcgrpo.tasks.benchmarks import file_grader

SECONDS_TO_LET_GO = 300
"""How long a job waits for the processes of an interrupted job, which save their state before they end."""


class CommandFailed(Exception):
    """A command ended with another exit code than 0; the message has its error and says where its output is."""


@dataclass(frozen=True)
class Job:
    """A training run and its evaluation, or the base's evaluation."""

    name: str
    directory: Path
    recipe: dict | None = None
    """What to train with; None for the base."""
    resources: Resources = field(default_factory=Resources)
    samples: int | None = None
    """Samples of each question; None for the experiment's number."""

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
class Worker:
    """Does the jobs of an experiment, in this process's place on this machine."""

    experiment: Experiment
    running: set[Command] = field(default_factory=set, repr=False)
    """The commands that run now."""
    graded_with: str = ""
    """See `Experiment.graded_with`: an evaluation that other code graded is not finished."""
    stopped: bool = False
    """Whether `stop` was called: what starts after it ends as well."""

    def do(self, job: Job, place: dict[str, str]) -> bool:
        """Train, unless that is done; then take the samples that are missing. Returns whether there was anything.

        Args:
            job: what to do.
            place: environment variables of its commands, such as the devices that they see.

        Raises:
            CommandFailed: one of the commands failed.
        """
        job.directory.mkdir(parents=True, exist_ok=True)
        models, worked = [self.experiment.model_name_or_path], False
        if job.recipe is not None:
            manifest = job.training / MANIFEST
            if not manifest.exists() or read_json(manifest)["status"] != "finished":
                write_yaml(job.directory / "recipe.yaml", job.recipe)
                self.command(job, place, "train", str(job.directory / "recipe.yaml"))
                worked = True
            models = [str(path) for path in checkpoints_in(job.training)]
        finished, evaluation = job.directory / EVALUATED, self.experiment.evaluation
        benchmarks, samples = self.experiment.benchmarks, job.samples or evaluation.samples
        wanted = {"models": models, "benchmarks": benchmarks, "questions": evaluation.questions, "samples": samples}
        wanted |= {"graded_with": self.graded_with}
        known: dict[str, Any] = {"benchmarks": benchmarks[:1]} | (read_json(finished) if finished.exists() else {})
        if {name: known.get(name) for name in wanted} != wanted:
            started = time.monotonic()
            options = [*self._evaluation_options(samples), "--output", str(job.evaluations)]
            self.command(job, place, "evaluate", *models, *options)
            seconds = known.get("seconds", 0.0) + time.monotonic() - started
            write_json(finished, wanted | {"seconds": round(seconds, 1)})
            worked = True
        return worked

    def stop(self) -> None:
        """End the commands by SIGTERM: training saves where it stands first. A second time they end at once."""
        self.stopped = True
        for command in list(self.running):
            command.terminate()

    def _evaluation_options(self, samples: int) -> list[str]:
        values = self.experiment.evaluation.model_dump(include={*EvaluationOptions.model_fields}) | {"samples": samples}
        task, benchmarks = get_task(self.experiment.task), self.experiment.benchmarks
        grader = next(filter(None, (file_grader(name, task) for name in benchmarks)), None)
        rewards = ",".join(self.experiment.reward_funcs or ()) or None
        values |= {"task": grader and grader.found_by, "reward_funcs": rewards}
        values |= {"prompt_template": self.experiment.prompt_template, "prompt_form": self.experiment.prompt_form}
        chosen = [("benchmarks", name) for name in benchmarks] + list(values.items())
        return [f"--{name.replace('_', '-')}={value}" for name, value in chosen if value is not None]

    def command(self, job: Job, place: dict[str, str], *arguments: str) -> None:
        """Run one command of this package with its output in the job's log."""
        _wait_for_others(job)
        job.progress_file.unlink(missing_ok=True)
        job.error_file.unlink(missing_ok=True)
        log = job.directory / "log.txt"
        started = start(job.resources, arguments, {PROGRESS_FILE: str(job.progress_file.absolute())} | place, log)
        self.running.add(started)
        if self.stopped:
            started.terminate()
        try:
            code = started.wait()
        except BaseException:  # cancelled: the command saves first
            started.terminate()
            started.wait()
            raise
        finally:
            self.running.discard(started)
        job.progress_file.unlink(missing_ok=True)
        if code != 0:
            raise CommandFailed(f"`abcgrpo {arguments[0]}` {reason(code, job.error_file)} (its output: {log})")


def reason(code: int, error_file: Path) -> str:
    """Why a command failed: its own message, or the signal that ended it."""
    if error_file.exists():
        return f"failed: {error_file.read_text(encoding='utf-8', errors='replace').strip()}"
    if code < 0:
        memory = "; the system does this when memory runs out" if -code == signal.SIGKILL else ""
        return f"was ended by {signal.Signals(-code).name}{memory}"
    return f"ended with exit code {code} without a message"


def _wait_for_others(job: Job) -> None:
    """Wait until the processes of an earlier try of this job, whose machine or parent was lost, have let go of it."""
    deadline = time.monotonic() + SECONDS_TO_LET_GO
    while held := [path.parent for path in job.directory.rglob(".lock") if is_locked(path.parent)]:
        if time.monotonic() > deadline:
            raise UserError(f"Another process works in {held[0]}, and has not ended in {SECONDS_TO_LET_GO} seconds.")
        time.sleep(0.5)


def device_places(jobs: list[Job]) -> list[dict[str, str]]:
    """The environment of each of the jobs that run at a time on this machine.

    On GPUs a job has as many as it has processes, or as its resources say, and sees no other. On a CPU each process has
    a core and one thread, since threads of several processes contend; fewer jobs than cores share the cores out.

    Raises:
        UserError: a job that wants more GPUs than there are.
    """
    import torch

    most = max((job.resources for job in jobs), key=lambda each: each.processes)
    if torch.cuda.is_available():
        each = max(job.resources.gpus or job.resources.processes for job in jobs)
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
        if each > len(names):
            raise UserError(
                f"A job takes {each} GPUs, and there are {len(names)} here: see `resources`, or `--on ray`."
            )
        groups = [names[start : start + each] for start in range(0, len(names) - each + 1, each)]
        return [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups[: len(jobs)]]
    if any(job.resources.gpus for job in jobs):
        raise UserError("The experiment's `resources` ask for GPUs, and this machine has none: see `--on ray`.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = max(min(len(jobs), cores // most.processes), 1)
    threads = max(cores // (workers * most.processes), 1)
    return [{"OMP_NUM_THREADS": str(threads)}] * workers


def seconds_of_finished(jobs: list[Job]) -> list[tuple[float, float]]:
    """Seconds of training and of evaluation of every job that is finished."""
    found = []
    for job in jobs:
        manifest, evaluated = job.training / MANIFEST, job.directory / EVALUATED
        if job.recipe is not None and manifest.exists() and evaluated.exists():
            found.append((read_json(manifest).get("seconds", 0.0), read_json(evaluated).get("seconds", 0.0)))
    return found


def in_words(value: BaseException) -> str:
    """A failure in words: those of a command or a mistake as they are, anything else with its type."""
    kind = "" if isinstance(value, CommandFailed | UserError) else f"{type(value).__name__}: "
    return f"{kind}{value}"
