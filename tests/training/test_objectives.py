"""TRL's own losses through `train`: the fast update and the quadrant metrics, one recipe apart from ABC-GRPO."""

import json

import pytest
import torch
from safetensors.torch import load_file

from abcgrpo.training.recipe import recipe_from_flat
from abcgrpo.training.run import train

RECIPE = {
    "model_name_or_path": "countdown-base",
    "num_problems": 16,
    "per_device_train_batch_size": 16,
    "steps_per_generation": 2,
    "num_generations": 8,
    "max_completion_length": 24,
    "max_steps": 4,
    "learning_rate": 1e-3,
    "scale_rewards": "none",
    "bf16": False,
    "gradient_checkpointing": False,
    "dataloader_pin_memory": False,
    "logging_steps": 1,
    "save_steps": 4,
    "save_only_model": True,
    "seed": 3,
}
ARMS = {
    "abc-grpo": {"loss_type": "grpo"},
    "grpo": {"objective": "trl", "loss_type": "grpo"},
    "dapo": {"objective": "trl", "loss_type": "dapo", "epsilon_high": 0.28},
    "cispo": {"objective": "trl", "loss_type": "cispo", "epsilon_high": 5.0},
    "sapo": {"objective": "trl", "loss_type": "sapo"},
    "gspo": {"objective": "trl", "loss_type": "grpo", "importance_sampling_level": "sequence"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The directory of each arm's run."""
    base = tmp_path_factory.mktemp("runs")
    return {
        name: train(recipe_from_flat(RECIPE | own | {"output_dir": str(base / name)}, name))
        for name, own in ARMS.items()
    }


def weights(directory):
    state = load_file(directory / "checkpoint-4" / "model.safetensors")
    return torch.cat([state[name].flatten() for name in sorted(state)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ARMS)
def test_each_loss_trains_with_the_fast_update_and_quadrants(runs, name):
    manifest = json.loads((runs[name] / "run.json").read_text())
    arguments = manifest["arguments"]
    assert manifest["recipe"]["objective"] == ARMS[name].get("objective", "abc-grpo")
    assert arguments["loss_type"] == ARMS[name]["loss_type"]
    assert arguments["importance_sampling_level"] == ARMS[name].get("importance_sampling_level", "token")
    assert ("eps_pos_low" in arguments) == (name == "abc-grpo")
    assert manifest["seeds"] == {"seed": 3, "data_seed": None}
    assert manifest["started"] <= manifest["finished"]
    assert manifest["tokens"] > 0
    lines = [json.loads(line) for line in (runs[name] / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert len(steps) == 4
    for line in steps:
        assert {"clip/q1", "clip/q2", "clip/q3", "clip/q4", "ratio/max", "entropy"} <= set(line)
    active = [line["update/active_rows"] for line in steps]
    assert max(active) > 0
    assert min(active) < 1  # rows without signal were skipped


@pytest.mark.slow
def test_the_losses_differ(runs):
    """Same seed, same rollout at first: what differs is the loss."""
    found = {name: weights(directory) for name, directory in runs.items()}
    names = list(found)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            assert not torch.equal(found[one], found[other]), (one, other)
