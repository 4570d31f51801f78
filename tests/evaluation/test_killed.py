"""kill -9 at random moments of a real evaluation process, then to the end: nothing lost, doubled or different."""

import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from abcgrpo.cli import main
from abcgrpo.evaluation.store import SAMPLES

OPTIONS = ("--questions", "24", "--samples", "16", "--batch-size", "8", "--seed", "3")
FORKS = multiprocessing.get_context("forkserver")
"""Processes of one that has loaded the libraries, which takes longer than the evaluation."""
FORKS.set_forkserver_preload(
    ["abcgrpo.evaluation.samplers.local", "transformers.models.qwen3.modeling_qwen3", "scipy.stats"]
)


def start(output: Path) -> multiprocessing.process.BaseProcess:
    child = FORKS.Process(target=run, args=(output,))
    child.start()
    return child


def run(output: Path) -> None:
    sys.argv = ["abcgrpo", "evaluate", "countdown-base", *OPTIONS, "--output", str(output)]
    with open(os.devnull, "w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        main()


def ended(child: multiprocessing.process.BaseProcess) -> int | None:
    child.join(600)
    return child.exitcode


def kept(output: Path) -> bytes:
    path = output / "countdown-base" / "countdown" / SAMPLES
    return path.read_bytes() if path.exists() else b""


@pytest.mark.slow
def test_ten_kills_leave_no_trace(tmp_path):
    assert ended(start(tmp_path / "undisturbed")) == 0
    output = tmp_path / "killed"
    moments = random.Random(0)
    kills, lengths = 0, []
    while kills < 10:
        before = len(kept(output))
        process = start(output)
        while process.exitcode is None and len(kept(output)) == before:  # it loads the model first
            time.sleep(0.005)
        time.sleep(moments.uniform(0.0, 0.15))
        process.kill()
        if ended(process) != -signal.SIGKILL:
            break  # it was done: the rest of the kills has nothing left to meet
        kills += 1
        lengths.append(len(kept(output)))
        if moments.random() < 0.5:  # a crash of the machine may cut a line, which a killed process does not
            path = output / "countdown-base" / "countdown" / SAMPLES
            path.write_bytes(path.read_bytes()[: -moments.randint(1, 400)])
    assert kills == 10, "the evaluation is too short to be killed ten times"
    assert ended(start(output)) == 0
    undisturbed, killed = (sorted(kept(tmp_path / name).splitlines()) for name in ("undisturbed", "killed"))
    assert len(killed) == 24 * 16
    assert killed == undisturbed
    results = [(tmp_path / name / "results.json").read_text() for name in ("undisturbed", "killed")]
    assert results[0] == results[1]
    assert 0 < lengths[0] < len(kept(output))
