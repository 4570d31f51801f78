"""Two processes that exchange rows: the same gradient, and neither waits for the other."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module", params=["dapo", pytest.param("grpo", marks=pytest.mark.slow)])
def reports(request, tmp_path_factory):
    """One report per rank, in their order."""
    folder = tmp_path_factory.mktemp("reports")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    module = ["--module", "tests.trl.update.two_ranks", request.param, str(folder)]
    done = subprocess.run([*command, *module], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_there_are_two_processes_and_one_has_no_signal(reports):
    assert [report["world_size"] for report in reports] == [2, 2]
    assert [report["silent"] for report in reports] == [False, True]


@pytest.mark.parametrize("run", ["fast", "alone"])
def test_gradients_and_updates_are_stocks(reports, run):
    for report in reports:
        assert report[run]["gradients"] < 2e-5
        assert report[run]["updates"] < 1e-5


@pytest.mark.parametrize("run", ["fast", "alone"])
def test_ranks_call_the_model_equally_often(reports, run):
    assert reports[0][run]["calls"] == reports[1][run]["calls"]


def test_exchange_gives_both_ranks_equal_work(reports):
    first, second = (report["fast"]["positions"] for report in reports)
    assert max(first, second) < 0.6 * (first + second)  # there are one or two rows in a micro-batch
    assert reports[1]["alone"]["positions"] <= 2 * 8  # nothing but two tokens per micro-batch
    assert reports[0]["alone"]["positions"] == pytest.approx(first + second, rel=0.02)


def test_metrics_count_the_rows_of_all_ranks(reports):
    assert reports[0]["fast"]["active_rows"] == reports[1]["fast"]["active_rows"]
    assert sum(reports[0]["fast"]["active_rows"]) == sum(reports[0]["alone"]["active_rows"])
