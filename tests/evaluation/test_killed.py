"""kill -9 at random moments of a real evaluation process, then to the end: nothing lost, doubled or different."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from abcgrpo.evaluation.store import SAMPLES

OPTIONS = ("--questions", "24", "--samples", "16", "--batch-size", "8", "--seed", "3")


def start(output: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "abcgrpo", "evaluate", "countdown-base", *OPTIONS, "--output", str(output)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kept(output: Path) -> bytes:
    path = output / "countdown-base" / "countdown" / SAMPLES
    return path.read_bytes() if path.exists() else b""


@pytest.mark.slow
def test_ten_kills_leave_no_trace(tmp_path):
    assert start(tmp_path / "undisturbed").wait(timeout=600) == 0
    output = tmp_path / "killed"
    moments = random.Random(0)
    kills, lengths = 0, []
    while kills < 10:
        before = len(kept(output))
        process = start(output)
        while process.poll() is None and len(kept(output)) == before:  # it loads the model first
            time.sleep(0.005)
        time.sleep(moments.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            break  # it was done: the rest of the kills has nothing left to meet
        kills += 1
        lengths.append(len(kept(output)))
        if moments.random() < 0.5:  # a crash of the machine may cut a line, which a killed process does not
            path = output / "countdown-base" / "countdown" / SAMPLES
            path.write_bytes(path.read_bytes()[: -moments.randint(1, 400)])
    assert kills == 10, "the evaluation is too short to be killed ten times"
    assert start(output).wait(timeout=600) == 0
    undisturbed, killed = (sorted(kept(tmp_path / name).splitlines()) for name in ("undisturbed", "killed"))
    assert len(killed) == 24 * 16
    assert killed == undisturbed
    results = [(tmp_path / name / "results.json").read_text() for name in ("undisturbed", "killed")]
    assert results[0] == results[1]
    assert 0 < lengths[0] < len(kept(output))
