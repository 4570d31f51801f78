"""How a job's command is started: a process of its own each time, without waiting for torch and its libraries to load.

A command of one process is forked from one that has loaded them (Python's `multiprocessing` calls it the fork server),
which saves the 12 seconds of a core that a run's two commands take to load. It computes nothing, so that nothing is
carried from one command to another. Several processes are started by torchrun or accelerate. On GPUs a command is
started anew: CUDA does not outlive a fork, and loading is a small part of such a run.

Each command has a session of its own: Ctrl-C and a terminal that closes reach the process that started it alone, which
tells each command once. A second signal would end it before it has saved.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from abcgrpo.experiments.specification import Resources
from abcgrpo.training.shipped import launch_configuration

LOADED = ("abcgrpo.cli", "abcgrpo.training.run", "abcgrpo.evaluation.results", "abcgrpo.evaluation.samplers.local")
"""What the fork server loads: all that `train` and `evaluate` need."""

SECONDS_BETWEEN_LOOKS = 0.5
"""Ray cancels a task between two instructions of Python: a wait without an end would not hear of it."""

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(list(LOADED))


class Command(Protocol):
    """A command that runs. It ends by SIGTERM when the process that started it does."""

    def wait(self) -> int:
        """Its exit code; negative is the signal that ended it."""
        ...

    def terminate(self) -> None:
        """End it by SIGTERM: training saves where it stands first. A second time it ends at once."""
        ...


def start(resources: Resources, arguments: Sequence[str], variables: dict[str, str], log: Path) -> Command:
    """Start a command of this package: training in as many processes as the job has, all else in one.

    Args:
        resources: of the job.
        arguments: the command and its arguments.
        variables: of the environment, beside this process's own.
        log: where its output is appended.
    """
    launcher = launch_command(resources) if arguments[0] == "train" else []
    if not launcher and (resources.gpus or variables.get("CUDA_VISIBLE_DEVICES")):
        launcher = [sys.executable, "-m", "abcgrpo"]
    with log.open("a", encoding="utf-8") as output:
        output.write(f"$ {' '.join([*(launcher or ['abcgrpo']), *arguments])}\n")
    return _Launched([*launcher, *arguments], variables, log) if launcher else _Forked(arguments, variables, log)


def launch_command(resources: Resources) -> list[str]:
    """What starts the processes of a training run that has several; empty for one process."""
    if resources.processes == 1:
        return []
    count = str(resources.processes)
    if resources.launch is not None:
        options = ["--config_file", str(launch_configuration(resources.launch)), "--num_processes", count]
        return [sys.executable, "-m", "accelerate.commands.launch", *options, "-m", "abcgrpo"]
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", count, "-m", "abcgrpo"]


class _Forked:
    def __init__(self, arguments: Sequence[str], variables: dict[str, str], log: Path) -> None:
        here = dict(os.environ) | variables  # the fork server has those of its own start
        self._process = _FORKS.Process(target=_run, args=(list(arguments), here, os.getcwd(), str(log.absolute())))
        self._process.start()

    def wait(self) -> int:
        while (code := self._process.exitcode) is None:
            self._process.join(SECONDS_BETWEEN_LOOKS)
        return code

    def terminate(self) -> None:
        self._process.terminate()


def _run(arguments: list[str], variables: dict[str, str], directory: str, log: str) -> None:
    """In the new process: become the command."""
    os.setsid()
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(directory)
    sys.path.insert(0, directory)  # as `python -m` does
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    import torch

    if threads := variables.get("OMP_NUM_THREADS"):  # read when torch was loaded, for another process
        torch.set_num_threads(int(threads))
    sys.argv = ["abcgrpo", *arguments]
    runpy.run_module("abcgrpo", run_name="__main__")


class _Launched:
    def __init__(self, command: list[str], variables: dict[str, str], log: Path) -> None:
        with log.open("a", encoding="utf-8") as output:
            # The other end of its input stays open as long as this process lives: `end_with_parent` waits for that.
            self._process = subprocess.Popen(
                command,
                env=os.environ | variables,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        self._input = self._process.stdin

    def wait(self) -> int:
        while (code := self._process.poll()) is None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(SECONDS_BETWEEN_LOOKS)
        self._input.close()
        return code

    def terminate(self) -> None:
        """Ask the processes themselves by the end of their input; a launcher that is asked kills them after 30 s."""
        if self._input.closed:
            self._process.terminate()
        self._input.close()
