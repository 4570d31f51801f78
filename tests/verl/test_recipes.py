"""The launch recipes: composed with verl's own configuration; what the script for several machines calls."""

import os
import subprocess
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[2] / "recipes" / "verl"
MODELS = ("qwen3-1.7b-base", "qwen3-4b-base")
PROBLEMS = 17_398
"""Of DAPO-Math-17k."""
OPTIMIZER_STEPS = {"qwen3-1.7b-base": 660, "qwen3-4b-base": 1340}
"""Of the authors' logs."""


def composed(model: str, *overrides: str) -> dict:
    """What `python -m verl.trainer.main_ppo --config-dir recipes/verl --config-name MODEL` trains with."""
    pytest.importorskip("verl", reason="verl has an environment of its own: make test-verl")
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(RECIPES), version_base=None):
        config = compose(model, overrides=["hydra.searchpath=[pkg://verl.trainer.config]", *overrides])
    return OmegaConf.to_container(config, resolve=True)  # pyright: ignore[reportReturnType]


def flat(tree: dict, path: str = "") -> dict:
    """Dotted key → value."""
    found = {}
    for key, value in tree.items():
        name = f"{path}.{key}" if path else str(key)
        found |= flat(value, name) if isinstance(value, dict) else {name: value}
    return found


@pytest.mark.parametrize("model", MODELS)
def test_equations_3_and_6_and_the_four_thresholds_come_out(model):
    config = composed(model)
    assert config["algorithm"]["adv_estimator"] == "grpo"
    assert config["algorithm"]["norm_adv_by_std_in_grpo"] is False
    actor = config["actor_rollout_ref"]["actor"]
    assert actor["loss_agg_mode"] == "seq-mean-token-mean"

    from omegaconf import OmegaConf
    from verl.utils.config import omega_conf_to_dataclass

    from abcgrpo import Boundaries
    from abcgrpo.verl.config import loss_config

    built = omega_conf_to_dataclass(OmegaConf.create(actor))
    assert loss_config(built).clipping_rule == Boundaries.uniform(0.2)  # and no option of another loss is set


@pytest.mark.parametrize("model", MODELS)
def test_the_arms_differ_in_the_boundaries_alone(model):
    loss = "actor_rollout_ref.actor.policy_loss"
    ours, grpo = flat(composed(model)), flat(composed(model, f"boundaries@{loss}=grpo"))
    different = {key for key in ours.keys() | grpo.keys() if ours.get(key) != grpo.get(key)}
    names = {key for key in different if "arm" in key or "experiment_name" in key or "default_local_dir" in key}
    assert different == names | {f"{loss}.eps_pos_low", f"{loss}.eps_neg_high"}
    assert "trainer.default_local_dir" in names  # so that no arm goes on from the other's checkpoint
    assert grpo[f"{loss}.eps_pos_low"] == grpo[f"{loss}.eps_neg_high"] == float("inf")


@pytest.mark.parametrize("model", MODELS)
def test_the_arithmetic_is_that_of_the_published_logs(model):
    config = composed(model)
    actor, data = config["actor_rollout_ref"]["actor"], config["data"]
    rollouts = PROBLEMS // data["train_batch_size"] * config["trainer"]["total_epochs"]
    assert data["train_batch_size"] == 4 * actor["ppo_mini_batch_size"]
    assert rollouts * 4 * actor["ppo_epochs"] == OPTIMIZER_STEPS[model]
    assert actor["ppo_max_token_len_per_gpu"] >= data["max_prompt_length"] + data["max_response_length"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("machines", [1, 4])
def test_verl_finds_nothing_wrong(model, machines):
    pytest.importorskip("verl", reason="verl has an environment of its own: make test-verl")
    from omegaconf import OmegaConf
    from verl.utils.config import validate_config

    config = OmegaConf.create(composed(model, f"trainer.nnodes={machines}"))
    validate_config(config=config, use_reference_policy=False, use_critic=False)


def test_megatron_takes_the_same_boundaries():
    config = composed("qwen3-4b-base", "model_engine=megatron", "actor_rollout_ref.actor.strategy=megatron")
    assert config["actor_rollout_ref"]["actor"]["policy_loss"]["_target_"] == "abcgrpo.verl.ABCGRPOPolicyLossConfig"


def calls_of_several_nodes(tmp_path: Path, rank: int) -> list[str]:
    """What several-nodes.sh calls on a machine, with stand-ins for the programs."""
    calls = tmp_path / "calls"
    for name in ("ray", "python", "abcgrpo"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name} $* [$VERL_USE_EXTERNAL_MODULES]" >> {calls}\n')
        program.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "NODES": "4", "NODE_RANK": str(rank)}
    subprocess.run(
        [RECIPES / "several-nodes.sh", "qwen3-4b-base", "trainer.total_epochs=1"],
        env=environment | {"HEAD": "10.0.0.1"},
        check=True,
        timeout=60,
    )
    return calls.read_text().splitlines()


def test_several_nodes_the_first_machine_trains(tmp_path):
    doctor, head, wait, train, stop = calls_of_several_nodes(tmp_path, rank=0)
    assert doctor == "abcgrpo doctor --engine verl [abcgrpo.verl]"
    assert head.startswith("ray start --head --node-ip-address 10.0.0.1 --port 6379 --num-gpus 8")
    assert wait.startswith("python - 4")
    assert train == (
        "python -m verl.trainer.main_ppo --config-dir recipes/verl --config-name qwen3-4b-base "
        "trainer.nnodes=4 trainer.n_gpus_per_node=8 trainer.total_epochs=1 [abcgrpo.verl]"
    )
    assert stop.startswith("ray stop")


def test_several_nodes_the_others_join(tmp_path):
    doctor, reachable, join = calls_of_several_nodes(tmp_path, rank=2)
    assert doctor.startswith("abcgrpo doctor")
    assert reachable.startswith("ray health-check --address 10.0.0.1:6379")
    assert join.startswith("ray start --block --address 10.0.0.1:6379 --num-gpus 8")
