"""One process and two, on the same global batch: the same weights after three optimizer steps."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.trl.two_processes import LOSS_TYPES, PROBLEMS, STEPS, train, train_straddled

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WHATEVER_THE_CUT = [name for name in LOSS_TYPES if name != "bnpo"]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What each of two processes found, for every loss type."""
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    module = ["--module", "tests.trl.two_processes", str(folder)]
    done = subprocess.run([*command, *module], cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.fixture(scope="module")
def one():
    """What one process finds, by loss type."""
    return {loss_type: train(loss_type=loss_type) for loss_type in LOSS_TYPES}


def difference(ours: dict, reference: dict) -> float:
    """‖difference of the weights‖ ÷ ‖what training changed‖."""
    flat = [torch.cat([run[name].flatten() for name in reference["after"]]) for run in (ours, reference["after"])]
    start = torch.cat([weight.flatten() for weight in reference["before"].values()])
    return ((flat[0] - flat[1]).norm() / (flat[1] - start).norm()).item()


def test_there_are_two_processes(one, two):
    assert [run[name]["processes"] for run in two for name in run] == [2] * 2 * (len(LOSS_TYPES) + 1)
    assert {run["processes"] for run in one.values()} == {1}


def test_the_second_process_has_no_signal_in_the_last_rollout(two):
    half = len(two[0]["grpo"]["rewards"]) // 2
    assert half == PROBLEMS // 2 * 4
    assert set(two[0]["grpo"]["rewards"][half:]) == {0.0, 1.0}
    assert set(two[1]["grpo"]["rewards"][:half]) == {0.0, 1.0}
    assert set(two[1]["grpo"]["rewards"][half:]) == {0.0}


@pytest.mark.parametrize("loss_type", WHATEVER_THE_CUT)
def test_two_processes_give_the_weights_of_one(one, two, loss_type):
    for rank in two:
        assert difference(rank[loss_type]["after"], one[loss_type]) < 1e-4


def test_a_loss_that_depends_on_the_cut_would_be_seen(one, two):
    assert difference(two[0]["bnpo"]["after"], one["bnpo"]) > 1e-2
    assert difference(one["dapo"]["after"], one["grpo"]) > 1e-2


@pytest.mark.parametrize("loss_type", WHATEVER_THE_CUT)
def test_both_log_the_same_events(one, two, loss_type):
    prefixes = ("prefix/shared", "prefix/over_punished")
    for name in ("clip/q1", "clip/q2", "clip/q3", "clip/q4", "ratio/max", "reward", "entropy", *prefixes):
        ours, reference = ([entry.get(name) for entry in run["logs"]] for run in (two[0][loss_type], one[loss_type]))
        assert len(ours) == STEPS
        assert [value is None for value in ours] == [value is None for value in reference]
        assert [v for v in ours if v is not None] == pytest.approx([v for v in reference if v is not None], rel=1e-3)
    events = sum(one[loss_type]["logs"][1][f"clip/q{quadrant}"] for quadrant in (1, 2, 3, 4))
    assert events > 0  # in the second step of a rollout the ratio is not 1


def test_an_estimator_sees_groups_whole_that_straddle_processes(two):
    one = train_straddled()
    for rank in two:
        assert difference(rank["straddled"]["after"], one) < 1e-4
    assert difference(two[0]["straddled"]["after"], train_straddled(advantages="group")) > 1e-2
