"""`abcgrpo train` against kills, signals, full disks and itself, in processes of their own."""

import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from abcgrpo.errors import UserError
from abcgrpo.run_files import step_of
from abcgrpo.training.recipe import recipe_from_flat
from abcgrpo.training.run import train
from abcgrpo.trl.resume.checkpoints import newest_complete
from measurements.kills import (
    FORKS,
    RECIPE,
    ROWS,
    compare,
    free_port,
    history,
    kill_repeatedly,
    progress,
    session,
    start,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """A run that nothing happened to."""
    output = tmp_path_factory.mktemp("runs") / "undisturbed"
    session(output, 1)
    return output


def started(output: Path):
    """A process that trains, after its first state is written."""
    child = start(output)
    while progress(output) == 0:
        assert child.exitcode is None
        time.sleep(0.01)
    return child


def killed(output: Path) -> Path:
    """A run that was killed after its first state, which is returned."""
    child = started(output)
    child.kill()
    child.join()
    state = newest_complete(output)
    assert state is not None
    return state


def told(output: Path, largest_file: int | None = None, **fields) -> str:
    """What the user is told when training in this directory is a mistake."""
    reading, writing = FORKS.Pipe(duplex=False)
    child = FORKS.Process(target=_tell, args=(output, largest_file, fields, writing))
    child.start()
    writing.close()
    message = reading.recv()
    child.join()
    return message


def _tell(output: Path, largest_file: int | None, fields: dict, writing) -> None:
    if largest_file is not None:  # what a full disk or a quota does to larger ones
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    try:
        train(recipe_from_flat(RECIPE | {"per_device_train_batch_size": ROWS, "output_dir": str(output)} | fields, ""))
        writing.send("")
    except UserError as error:
        writing.send(str(error))


def manifest(output: Path) -> dict:
    return json.loads((output / "run.json").read_text())


def test_kills_leave_no_trace(tmp_path, undisturbed):
    met = kill_repeatedly(tmp_path / "killed", kills=5, processes=1, seed=1)
    assert len(met) >= 3, "the run was over before it could be killed"
    assert compare(tmp_path / "killed", undisturbed) == []
    assert manifest(tmp_path / "killed")["status"] == "finished"
    assert not (tmp_path / "killed" / "resume").exists()  # of no use any more


def test_the_comparison_sees_a_difference(tmp_path, undisturbed):
    start(tmp_path / "other", learning_rate=1.01e-3).join()
    found = compare(tmp_path / "other", undisturbed)
    assert "checkpoint-6/model.safetensors differs" in found
    assert any("step 4" in line for line in found)


def test_two_processes_go_on_as_one_does(tmp_path):
    session(tmp_path / "undisturbed", 2)
    output, port = tmp_path / "killed", free_port()
    children = [start(output, rank, 2, port) for rank in range(2)]
    while progress(output) == 0:
        assert [child.exitcode for child in children] == [None, None]
        time.sleep(0.01)
    os.kill(children[1].pid, signal.SIGTERM)  # what one of them is told stops both after the same step
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [143, 143]
    assert manifest(output)["status"] == "interrupted"
    assert kill_repeatedly(output, kills=2, processes=2, seed=3)
    assert compare(output, tmp_path / "undisturbed") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(tmp_path, undisturbed, number):
    output = tmp_path / "stopped"
    child = started(output)
    os.kill(child.pid, number)
    child.join()
    assert child.exitcode == (143 if number == signal.SIGTERM else 1)  # a KeyboardInterrupt, which the command catches
    assert manifest(output)["status"] == "interrupted"
    state = newest_complete(output)
    assert state is not None
    assert step_of(state) == manifest(output)["steps"]
    session(output, 1)
    assert manifest(output)["resumed_after_steps"] == [step_of(state)]
    assert compare(output, undisturbed) == []


def test_the_second_process_on_a_directory_refuses(tmp_path):
    child = started(tmp_path / "run")
    assert told(tmp_path / "run") == f"Another process is training in {tmp_path / 'run'}."
    child.kill()
    child.join()
    session(tmp_path / "run", 1)  # the lock went with the process


def test_another_recipe_is_refused_and_a_finished_run_too(tmp_path, undisturbed):
    output = tmp_path / "run"
    killed(output)
    refusal = told(output, learning_rate=5e-4, seed=7)
    assert "  learning_rate was 0.001, is 0.0005\n  seed was None, is 7\n" in refusal
    assert told(output, save_steps=9) == ""  # this one may differ
    assert history(output) == history(undisturbed)
    assert "already holds a run" in told(output)


def test_a_file_that_cannot_be_written_is_told_and_the_last_state_stays(tmp_path, undisturbed):
    output = tmp_path / "run"
    before = killed(output)
    message = told(output, largest_file=1_000_000)  # the model alone is larger
    assert "could not be written" in message
    assert f"The last complete one is {before}" in message
    assert newest_complete(output) == before
    assert manifest(output)["status"] == "failed"
    session(output, 1)
    assert compare(output, undisturbed) == []


def test_a_full_disk_and_a_read_only_one(tmp_path, undisturbed):
    """A file system of its own, filled up, then closed to writing."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        output = disk / "run"
        before = killed(output)
        status = os.statvfs(disk)
        (disk / "filler").write_bytes(b"0" * (status.f_bavail * status.f_frsize - 3_000_000))
        message = told(output)
        assert "No space left" in message or "could not be written" in message
        assert newest_complete(output) == before
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert "cannot be written to" in told(output)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        session(output, 1)
        assert compare(output, undisturbed) == []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
