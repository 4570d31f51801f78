"""Verdicts beside processes that take the machine: the benchmark with fewer answers."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "timings" / "grading_under_load.py"


@pytest.mark.slow
def test_a_load_of_eight_changes_no_verdict():
    run = subprocess.run(
        [sys.executable, BENCHMARK, "--answers", "300", "--load", "8"], capture_output=True, text=True, timeout=900
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "of 300 verdicts 0 changed and 0 are wrong" in run.stdout
