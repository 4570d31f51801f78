"""`make gpu` at small size on this machine, so that it works where a GPU is."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARK = Path(__file__).parents[1] / "timings" / "gpu.py"
PARTS = ["model", "step", "profile"]


def run(folder: Path) -> str:
    command = [sys.executable, str(BENCHMARK), "--scale", "64", "--output", str(folder), "--parts", *PARTS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU it takes full size")
def test_every_part_leaves_figures_and_is_not_run_twice(tmp_path):
    assert "model: status 0" in run(tmp_path)
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["device"] == "CPU"
    assert list(found["parts"]) == PARTS
    model = found["parts"]["model"]["figures"]
    assert all(math.isfinite(value) and value > 0 for value in model.values())
    assert (model["rows"], model["rows_with_signal"]) == (128, 64)
    assert 0 < model["share_of_matrix_product"] < 1
    assert found["parts"]["step"]["figures"]["ratio"]["all"] > 0
    assert any("matrix products" in line for line in found["parts"]["profile"]["figures"]["printed"])
    assert "status" not in run(tmp_path)
