"""While a run goes on, its metrics reach the trackers of the host's `report_to`. Offline, with the real ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from abcgrpo.report.reading.logs import read_log
from tests.trl.trainers import abc_trainer

OURS = {"clip/q1", "clip/q2", "clip/q3", "clip/q4", "ratio/max", "entropy", "reward", "frac_reward_zero_std"}


def test_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    trainer = abc_trainer(tmp_path, report_to=["tensorboard"], max_steps=2)
    trainer.train()
    logged = {name for line in trainer.state.log_history for name in line}
    found = read_log(tmp_path / "events").metrics
    assert set(found) >= OURS
    assert set(found) >= logged - {"step", "epoch", "total_flos"}
    assert found["entropy"].keys() == {1, 2}
    entropies = [line["entropy"] for line in trainer.state.log_history if "entropy" in line]
    assert list(found["entropy"].values()) == pytest.approx(entropies, rel=1e-5)


TRACKED = """
import sys
from pathlib import Path
from trackio.sqlite_storage import SQLiteStorage
from tests.trl.trainers import abc_trainer
options = {"project": "ours", "run_name": "tiny", "trackio_static_space_id": False}
abc_trainer(Path(sys.argv[1]), report_to=["trackio"], max_steps=2, **options).train()
print("NAMES", *SQLiteStorage.get_all_metrics_for_run("ours", "tiny"))
"""


@pytest.mark.slow
def test_trackio(tmp_path):
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", TRACKED, str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (names,) = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("NAMES")]
    assert {name.removeprefix("train/") for name in names} >= OURS
