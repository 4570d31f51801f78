"""`abcgrpo run` in one process: its commands are called, not started, one at a time. All else is as a user has it."""

from concurrent.futures import Future
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from abcgrpo.cli.app import app
from abcgrpo.experiments.jobs.job import Worker


def command(*arguments: str) -> Result:
    """A command of this package."""
    return CliRunner().invoke(app, list(arguments))


class InProcess(Worker):
    """Jobs whose commands run in this process."""

    def command(self, job, place, *arguments):
        """See `Worker.command`; a command that fails raises what it raised."""
        result = command(*arguments)
        with (job.directory / "log.txt").open("a") as log:
            log.write(result.output)
        if result.exception is not None:
            raise result.exception


class OneByOne:
    """A pool of threads without threads, since training takes signals, which only the main thread can."""

    def __init__(self, workers: int) -> None:
        assert workers == 1

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        pass

    def submit(self, function, *arguments) -> Future:
        done: Future = Future()
        done.set_result(function(*arguments))
        return done


@pytest.fixture
def in_process(monkeypatch, tmp_path) -> Path:
    """A user's directory, which is the current one; experiments that are run in it start no process.

    The panels of a report are not drawn as PNG and PDF: fourteen of them take longer than all else here.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("abcgrpo.experiments.jobs.runner.Worker", InProcess)
    monkeypatch.setattr("abcgrpo.experiments.jobs.runner.ThreadPoolExecutor", OneByOne)
    monkeypatch.setattr("abcgrpo.experiments.jobs.runner.device_places", lambda jobs: [{}])
    monkeypatch.setattr("abcgrpo.report.write._write_images", lambda *arguments: None)
    return tmp_path
