"""`abcgrpo train` against kills, signals, full disks and itself: real processes, forked from this one.

Forked, because loading the libraries takes longer than the runs; nothing here has started a thread pool by then.
"""

import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from abcgrpo.errors import UserError
from abcgrpo.experiments.recipe import recipe_from_flat
from abcgrpo.experiments.training import train
from abcgrpo.trl.checkpoints import newest_complete, step_of
from benchmarks.kills import RECIPE, ROWS, compare, fork, history, kill_repeatedly, progress, session

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """A run that nothing happened to."""
    output = tmp_path_factory.mktemp("runs") / "undisturbed"
    session(output, 1)
    return output


def start(output: Path) -> int:
    """A process that trains, after its first state is written."""
    child = fork(output, 0, 1, 0, None)
    while progress(output) == 0:
        time.sleep(0.01)
    return child


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def manifest(output: Path) -> dict:
    return json.loads((output / "run.json").read_text())


def test_kills_leave_no_trace(tmp_path, undisturbed):
    met = kill_repeatedly(tmp_path / "killed", kills=5, processes=1, seed=1)
    assert len(met) >= 3, "the run was over before it could be killed"
    assert compare(tmp_path / "killed", undisturbed) == []
    assert manifest(tmp_path / "killed")["status"] == "finished"
    assert not (tmp_path / "killed" / "resume").exists()  # of no use any more


def test_the_comparison_sees_a_difference(tmp_path, undisturbed):
    train_in_child(tmp_path / "other", learning_rate=1.01e-3)
    found = compare(tmp_path / "other", undisturbed)
    assert "checkpoint-6/model.safetensors differs" in found
    assert any("step 4" in line for line in found)


def train_in_child(output: Path, code: int = 0, before=None, **changes) -> str:
    """Train in a forked process that must end with this code, 2 for a mistake; returns what the user was told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        result = 1
        try:
            if before:
                before()
            fields = {"per_device_train_batch_size": ROWS, "output_dir": str(output)} | changes
            train(recipe_from_flat(RECIPE | fields, "test"))
            result = 0
        except UserError as error:
            os.write(writing, str(error).encode())
            result = 2
        finally:
            os._exit(result)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    assert exit_code(child) == code
    return told


def test_two_processes_go_on_as_one_does(tmp_path):
    session(tmp_path / "undisturbed", 2)
    met = kill_repeatedly(tmp_path / "killed", kills=2, processes=2, seed=3)
    assert met
    assert compare(tmp_path / "killed", tmp_path / "undisturbed") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(tmp_path, undisturbed, number):
    output = tmp_path / "stopped"
    child = start(output)
    os.kill(child, number)
    assert exit_code(child) != 0
    assert manifest(output)["status"] == "interrupted"
    state = newest_complete(output)
    assert state is not None
    assert step_of(state) == manifest(output)["steps"]
    session(output, 1)
    assert manifest(output)["resumed_after_steps"] == [step_of(state)]
    assert compare(output, undisturbed) == []


def test_the_second_process_on_a_directory_refuses(tmp_path):
    output = tmp_path / "run"
    child = start(output)
    assert train_in_child(output, code=2) == f"Another process is training in {output}."
    os.kill(child, signal.SIGKILL)
    assert exit_code(child) == -signal.SIGKILL
    session(output, 1)  # the lock went with the process


def test_another_recipe_is_refused_and_a_finished_run_too(tmp_path, undisturbed):
    output = tmp_path / "run"
    os.kill(start(output), signal.SIGKILL)
    os.wait()
    told = train_in_child(output, code=2, learning_rate=5e-4, seed=7)
    assert "  learning_rate was 0.001, is 0.0005\n  seed was None, is 7\n" in told
    train_in_child(output, code=0, save_steps=9)  # this one may differ
    lines = history(output)
    assert lines == history(undisturbed)
    assert "already holds a run" in train_in_child(output, code=2)


def limited(size: int):
    """Files of more than `size` bytes cannot be written: what a full disk or a quota does to a large one."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return limit


def test_a_disk_that_is_full_is_told_and_the_last_state_stays(tmp_path, undisturbed):
    output = tmp_path / "run"
    os.kill(start(output), signal.SIGKILL)
    os.wait()
    before = newest_complete(output)
    assert before is not None
    told = train_in_child(output, code=2, before=limited(1_000_000))  # the model alone is larger
    assert "could not be written" in told
    assert f"The last complete one is {before}" in told
    assert newest_complete(output) == before
    assert manifest(output)["status"] == "failed"
    session(output, 1)
    assert compare(output, undisturbed) == []


def test_a_small_disk_in_earnest(tmp_path, undisturbed):
    """A file system of its own, with room for one state and not for two."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(mounted)], capture_output=True)
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        filler, output = mounted / "filler", mounted / "run"
        os.kill(start(output), signal.SIGKILL)
        os.wait()
        before = newest_complete(output)
        filler.write_bytes(b"0" * (free(mounted) - 3_000_000))
        assert "could not be written" in train_in_child(output, code=2)
        assert newest_complete(output) == before
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
        assert "cannot be written to" in train_in_child(output, code=2)
        subprocess.run(["mount", "-o", "remount,rw", str(mounted)], check=True)
        session(output, 1)
        assert compare(output, undisturbed) == []
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=True)


def free(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize
