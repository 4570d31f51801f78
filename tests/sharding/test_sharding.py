"""DeepSpeed's ZeRO and FSDP2 through accelerate, on two CPU processes, as the shipped launch configurations say."""

import importlib.util
import json

import pytest
import torch
from safetensors.torch import load_file

from tests.sharding.cpu import launch
from tests.trl.test_two_processes import difference
from tests.trl.two_processes import STEPS, train

pytestmark = pytest.mark.slow

needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed has an environment of its own: make test-deepspeed"
)
ENGINES = {"zero2": ("DeepSpeedEngine", 2), "zero3": ("DeepSpeedEngine", 3), "fsdp2": ("FSDPQwen3ForCausalLM", None)}
SAVED = 3
"""The step of the checkpoint: a rollout is half used, so that the next step needs it."""
ADAM = {"optim": "adamw_torch", "learning_rate": 1e-3, "max_steps": 4}


@pytest.fixture(
    scope="module",
    params=["fsdp2", pytest.param("zero2", marks=needs_deepspeed), pytest.param("zero3", marks=needs_deepspeed)],
)
def sharded(request, tmp_path_factory):
    """The configuration's name, its folder, and what each of two processes found in each run."""
    folder = tmp_path_factory.mktemp(request.param)
    saving = ADAM | {"save_strategy": "steps", "save_steps": SAVED}
    runs = {
        "plain": {"loss_type": "grpo"},
        "whole": saving,
        "resumed": saving | {"resume": str(folder / "whole" / f"checkpoint-{SAVED}")},
        "spoilt": ADAM | {"spoilt": True},
    }
    extensions = tmp_path_factory.getbasetemp() / "torch-extensions"
    launch(request.param, "tests.sharding.training", str(folder), json.dumps(runs), extensions=extensions, minutes=8)
    return request.param, folder, {name: [torch.load(folder / f"{name}-{rank}.pt") for rank in (0, 1)] for name in runs}


@pytest.fixture(scope="module")
def one():
    return train(loss_type="grpo")


def test_the_engine_is_the_one_that_was_asked_for(sharded):
    name, _, found = sharded
    for run in (run for ranks in found.values() for run in ranks):
        assert run["processes"] == 2
        assert (run["engine"], run["stage"]) == ENGINES[name]
    numbers = sum(weight.numel() for weight in found["plain"][0]["after"].values())
    held = [run["numbers_here"] for run in found["plain"]]
    assert sum(held) == (2 * numbers if name == "zero2" else pytest.approx(numbers, rel=0.01))


def test_it_gives_the_weights_of_one_process(sharded, one):
    _, _, found = sharded
    for run in found["plain"]:
        assert set(run["after"]) == set(one["after"])
        assert difference(run["after"], one) < 1e-4
        events = [[entry[f"clip/q{quadrant}"] for quadrant in (1, 2, 3, 4)] for entry in run["logs"]]
        expected = [[entry[f"clip/q{quadrant}"] for quadrant in (1, 2, 3, 4)] for entry in one["logs"]]
        assert len(events) == STEPS
        assert sum(events[1]) > 0
        for ours, reference in zip(events, expected, strict=True):
            assert ours == pytest.approx(reference, rel=1e-3)


def test_a_checkpoint_is_a_model_and_a_run_goes_on_from_it(sharded):
    _, folder, found = sharded
    whole, resumed = found["whole"][0], found["resumed"][0]
    assert (whole["error"], resumed["error"]) == (None, None)
    assert [entry["step"] for entry in resumed["logs"]] == [1, 2, 3, 4]
    for name, weight in whole["after"].items():
        assert torch.allclose(resumed["after"][name], weight, rtol=0, atol=1e-6), name
    saved = load_file(folder / "whole" / f"checkpoint-{SAVED}" / "model.safetensors")
    assert set(saved) - {"lm_head.weight"} == set(whole["after"])  # the head is the embedding; DeepSpeed writes both
    moved = max((saved[name] - weight).abs().max().item() for name, weight in whole["after"].items())
    assert 1e-5 < moved < 1e-2  # one step of Adam apart


def test_a_step_that_is_not_finite_is_left_out(sharded):
    _, _, found = sharded
    for run in found["spoilt"]:
        assert run["error"] is None
        assert [entry["skipped_steps"] for entry in run["logs"]] == [0, 1, 1, 1]
        assert all(weight.isfinite().all() for weight in run["after"].values())
    first, other = (found[name][0]["after"] for name in ("spoilt", "whole"))
    assert max((first[name] - other[name]).abs().max().item() for name in first) > 1e-5
