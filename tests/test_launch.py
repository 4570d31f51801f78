"""The shipped launch configurations, read by the programs that they are for."""

import os
import re

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DeepSpeedPlugin, FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

from abcgrpo.training.dry_run import dry_run
from abcgrpo.training.recipe import read_recipe
from abcgrpo.training.shipped import SHIPPED, recipe_path

FILES = {path.stem: path for path in (SHIPPED / "launch").glob("*.yaml")}
FOR_ACCELERATE = ["ddp", "fsdp2", "zero2", "zero3"]


def launched(name: str):
    """The arguments that `accelerate launch` would go on with."""
    words = ["--config_file", str(FILES[name]), "-m", "abcgrpo", "train", "recipe.yaml"]
    arguments = launch_command_parser().parse_args(words)
    arguments.nondefault = ["config_file", "module"]
    arguments = _validate_launch_command(arguments)[0]
    arguments.main_process_port = 0  # any that is free
    sections = load_config_from_file(str(FILES[name])).deepspeed_config
    arguments.deepspeed_fields_from_accelerate_config = ",".join(sections)
    return arguments


def test_every_file_is_read_by_a_test():
    assert set(FILES) == {*FOR_ACCELERATE, "vllm-server"}


@pytest.mark.parametrize("name", FOR_ACCELERATE)
def test_accelerate_knows_every_key(name):
    config = load_config_from_file(str(FILES[name]))  # refuses unknown keys, but not those of a section
    known = set(vars(launch_command_parser().parse_args(["script.py"])))
    for section in (config.fsdp_config, config.deepspeed_config):
        assert section.keys() <= known
    assert config.num_processes == 8
    assert config.mixed_precision == "bf16"


@pytest.mark.parametrize("name", FOR_ACCELERATE)
def test_accelerate_would_start_eight_processes_of_the_kind(name):
    arguments = launched(name)
    assert arguments.num_processes == 8
    assert arguments.mixed_precision == "bf16"
    assert [arguments.multi_gpu, arguments.use_fsdp, arguments.use_deepspeed] == [
        name == "ddp",
        name == "fsdp2",
        name.startswith("zero"),
    ]


def test_fsdp2_reaches_its_plugin(monkeypatch):
    for variable, value in prepare_multi_gpu_env(launched("fsdp2")).items():
        monkeypatch.setitem(os.environ, variable, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.activation_checkpointing is False
    assert plugin.state_dict_type.name == "FULL_STATE_DICT"
    assert plugin.auto_wrap_policy.__name__ == "transformer_auto_wrap_policy"


@pytest.mark.parametrize("stage", [2, 3])
def test_zero_reaches_its_plugin(monkeypatch, stage):
    _, environment = prepare_deepspeed_cmd_env(launched(f"zero{stage}"))
    for variable, value in environment.items():
        monkeypatch.setitem(os.environ, variable, value)
    plugin = DeepSpeedPlugin()
    assert plugin.zero_stage == stage
    config = plugin.deepspeed_config
    assert config["zero_optimization"]["stage"] == stage
    assert config["zero_optimization"]["offload_optimizer"]["device"] == "none"
    assert config["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] is (stage == 3)


def test_the_server_knows_every_key_and_serves_the_recipes_lengths():
    from trl.scripts.vllm_serve import make_parser

    (served,) = make_parser().parse_args_and_config(["--config", str(FILES["vllm-server"])])
    recipe = read_recipe(recipe_path("qwen3-4b-base/paper-abc-grpo"))
    assert served.model == recipe.model_name_or_path
    assert served.max_model_len == recipe.training["vllm_max_model_length"]


def test_the_servers_trainer_keeps_the_batch():
    """The options that the file gives for four training processes."""
    text = FILES["vllm-server"].read_text().replace("\\\n#", "")
    (options,) = re.findall(r"-m abcgrpo train (\S+) (.*)", text)
    words = options[1].split()
    changes = {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}
    path = recipe_path(options[0])
    colocated, served = (
        dry_run(read_recipe(path, {"num_problems": 17398, "dataset_name": "no/hub"} | extra)) for extra in ({}, changes)
    )
    for name in ("rollouts_per_generation", "rollouts_per_optimizer_step", "optimizer_steps"):
        assert served[name] == colocated[name]
    assert (colocated["num_processes"], served["num_processes"]) == (8, 4)
    assert colocated["memory"]["vllm"]["share_of_gpu"] == 0.4
    assert served["memory"]["vllm"] is None
