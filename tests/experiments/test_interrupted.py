"""Ctrl-C and SIGTERM of an experiment: its commands hear of it once, and have the time to save."""

import os
import signal
import sys
import threading
import time

import pytest

from abcgrpo.experiments.jobs import command
from abcgrpo.experiments.jobs.runner import ExperimentRunner
from abcgrpo.experiments.specification import Experiment

CONTENT = {
    "model_name_or_path": "countdown-base",
    "arms": {"GRPO": {"rule": "grpo"}},
    "resources": {"processes": 2},
}
TRAINS = """
import os, signal, sys, time
from pathlib import Path
from abcgrpo.progress import end_with_parent

job = Path(sys.argv[2]).parent
heard = []

def note(number, frame):
    heard.append((time.monotonic(), number))
    (job / "heard").write_text(" ".join(str(number) for _, number in heard))

for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, note)
end_with_parent()
(job / "session").write_text(str(os.getsid(0)))
while not heard or (len(heard) < 2 and time.monotonic() < heard[0][0] + SECONDS):
    time.sleep(0.01)
"""
"""What stands for the processes of a training: it takes SECONDS to save unless a second signal comes."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("times", "seconds"), [(1, 1), (2, 300)])
def test_a_signal_is_passed_on_once_and_a_second_one_does_not_wait(tmp_path, monkeypatch, number, times, seconds):
    trains = TRAINS.replace("SECONDS", str(seconds))
    monkeypatch.setattr(command, "launch_command", lambda resources: [sys.executable, "-c", trains])
    runner = ExperimentRunner(Experiment.model_validate(CONTENT), tmp_path)
    runner.jobs = runner.jobs[1:]  # without the base
    (job,) = runner.jobs

    def interrupt() -> None:
        for name in ("session", "heard")[:times]:
            while not (job.directory / name).exists():
                time.sleep(0.01)
            os.kill(os.getpid(), number)

    interrupts = threading.Thread(target=interrupt)
    interrupts.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit) as ended:
        runner.run()
    interrupts.join()
    assert number == signal.SIGINT or ended.value.code == 143
    assert (job.directory / "heard").read_text().split() == [str(int(signal.SIGTERM))] * times
    assert time.monotonic() - started < 60
    assert int((job.directory / "session").read_text()) != os.getsid(0)
