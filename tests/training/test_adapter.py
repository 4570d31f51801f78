"""LoRA from a recipe: its fields and mistakes, exact resume, what a run leaves, and memory by hand."""

import json
import re

import pytest
from peft import LoraConfig
from safetensors.torch import load_file

from abcgrpo.errors import UserError
from abcgrpo.experiments.checks import check_experiment
from abcgrpo.experiments.specification import read_experiment
from abcgrpo.files import read_json
from abcgrpo.training.adapter import adapter_of
from abcgrpo.training.dry_run import dry_run, terminal
from abcgrpo.training.memory import GIB, estimate_memory, model_config, model_size
from abcgrpo.training.recipe import read_recipe, recipe_from_flat
from abcgrpo.training.run import train
from abcgrpo.training.shipped import recipe_path
from abcgrpo.trl import ABCGRPOConfig
from measurements.kills import RECIPE, ROWS, compare, kill_repeatedly, session
from tests.experiments.in_process import command, in_process  # noqa: F401  a fixture

LORA = {"use_peft": True, "lora_r": 4, "lora_target_modules": ["q_proj", "v_proj", "down_proj"]}
"""With TRL's dropout of 0.05, so that what is drawn for it must be drawn again after a kill."""
SHORT = {"max_steps": 4, "save_steps": 4, "per_device_train_batch_size": ROWS}
BASE = {"model_name_or_path": "countdown-base"}


def recipe(output="out", **fields):
    return recipe_from_flat(RECIPE | SHORT | LORA | {"output_dir": str(output)} | fields, "test")


# -- fields ------------------------------------------------------------------------------------------------------------


def test_the_defaults_are_trls():
    """As TRL's documentation of `ModelConfig` has them."""
    found = adapter_of(recipe_from_flat(BASE | {"use_peft": True}, "test"))
    documented = LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, lora_dropout=0.05, bias="none")
    assert found is not None
    assert found.to_dict() == documented.to_dict()


def test_every_field_reaches_peft():
    given = {
        "use_peft": "true",  # as a command line has it
        "lora_r": "3",
        "lora_alpha": 7,
        "lora_dropout": 0.0,
        "lora_target_modules": ["q_proj", "v_proj"],
        "lora_modules_to_save": ["lm_head"],
        "use_rslora": True,
        "use_dora": True,
    }
    made = recipe_from_flat(BASE | given, "test")
    wanted = {"r": 3, "lora_alpha": 7, "lora_dropout": 0.0, "modules_to_save": ["lm_head"]}
    wanted |= {"target_modules": {"q_proj", "v_proj"}, "use_rslora": True, "use_dora": True}
    found = adapter_of(made)
    assert {name: getattr(found, name) for name in wanted} == wanted
    assert recipe_from_flat(made.to_flat(), "again") == made
    assert made.training == {}


@pytest.mark.parametrize("named", ["all-linear", ["all-linear"]])
def test_modules_may_be_named_by_one_text(named):
    found = adapter_of(recipe_from_flat(BASE | {"use_peft": True, "lora_target_modules": named}, "test"))
    assert found.target_modules == "all-linear"


def test_without_it_the_whole_model_is_trained():
    made = recipe_from_flat(BASE | {"use_peft": False}, "test")
    assert adapter_of(made) is None
    assert made == recipe_from_flat(BASE, "test")


MISTAKES = {
    "no switch": ({"lora_r": 8}, "lora_r has no effect without use_peft: true"),
    "switched off": ({"use_peft": False, "use_dora": True}, "use_dora has no effect without use_peft: true"),
    "a misprint": ({"use_peft": True, "lora_rank": 8}, "lora_rank.*Did you mean"),
    "a wrong type": ({"use_peft": True, "lora_r": "many"}, "lora_r='many' is not usable"),
    "another kind of model": ({"use_peft": True, "lora_task_type": "SEQ_CLS"}, "is no language model"),
    "few bits": ({"use_peft": True, "load_in_4bit": True}, "load_in_4bit is not supported.*full precision"),
}


@pytest.mark.parametrize(("fields", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_in_fields(fields, message):
    with pytest.raises(UserError, match=message):
        recipe_from_flat(BASE | fields, "test")


MISFITS = {
    "modules that there are not": ({"lora_target_modules": ["qkv"]}, "does not fit the model.*qkv"),
    "the head": ({"lora_target_modules": ["lm_head"]}, "an adapter on the head"),
    "rank 0": ({"lora_r": 0}, "does not fit the model"),
    "a dropout above 1": ({"lora_dropout": 1.5}, "does not fit the model"),
    "a reference to synchronize": ({"sync_ref_model": True, "beta": 0.1}, "sync_ref_model has nothing to synchronize"),
}


@pytest.mark.parametrize(("fields", "message"), MISFITS.values(), ids=MISFITS)
@pytest.mark.parametrize("run", [train, dry_run])
def test_what_does_not_fit_the_model_is_told_before_anything_runs(tmp_path, run, fields, message):
    with pytest.raises(UserError, match=message):
        run(recipe(tmp_path / "out", **fields))
    assert not list(tmp_path.iterdir())


EXPERIMENT = """
model_name_or_path: countdown-base
num_problems: 32
seeds: [0]
arms:
  full: {training: {learning_rate: 1e-4}}
  LoRA: {training: {use_peft: true, lora_r: 4, lora_dropout: 0.0, MORE}}
evaluation: {questions: 4, samples: 4, pass_at_k: [2], max_new_tokens: 24}
training:
  per_device_train_batch_size: 16
  steps_per_generation: 2
  num_generations: 8
  max_completion_length: 24
  max_steps: 4
  learning_rate: 1e-3
  loss_type: grpo
  bf16: false
  gradient_checkpointing: false
  dataloader_pin_memory: false
  logging_steps: 1
  save_steps: 4
"""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("lora_target_modules: [nothing]", "arm LoRA: use_peft: the adapter does not fit.*nothing"),
        ("lora_alfa: 3", "arm LoRA: .*lora_alfa.*lora_alpha"),
    ],
)
def test_an_arms_mistake_is_told_before_the_experiment(tmp_path, more, message):
    (tmp_path / "small.yaml").write_text(EXPERIMENT.replace("MORE", more).replace("learning_rate: 1e-4", ""))
    with pytest.raises(UserError, match=message):
        check_experiment(read_experiment(str(tmp_path / "small.yaml")))


def test_a_shared_adapter_that_one_arm_switches_off(tmp_path):
    text = EXPERIMENT.replace(", MORE", "").replace("learning_rate: 1e-4", "use_peft: false")
    (tmp_path / "small.yaml").write_text(text + "  lora_alpha: 8\n")
    with pytest.raises(UserError, match="arm full: lora_alpha has no effect without use_peft"):
        check_experiment(read_experiment(str(tmp_path / "small.yaml")))


def test_peft_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr("abcgrpo.training.adapter.find_spec", lambda name: None)
    with pytest.raises(UserError, match=re.escape("pip install 'abcgrpo[peft]'")):
        train(recipe(tmp_path / "out"))
    assert "abcgrpo[peft]" in terminal(dry_run(recipe()))
    (tmp_path / "small.yaml").write_text(EXPERIMENT.replace(", MORE", ""))
    assert "abcgrpo[peft]" in "\n".join(check_experiment(read_experiment(str(tmp_path / "small.yaml"))))


# -- memory ------------------------------------------------------------------------------------------------------------


def test_memory_by_hand():
    """Qwen3-1.7B: 28 layers of width 2048, 16 heads and 8 key-value heads of size 128."""
    adapter = LoraConfig(task_type="CAUSAL_LM", r=16, target_modules=["q_proj", "v_proj"])
    config = model_config("Qwen/Qwen3-1.7B-Base")
    size = model_size(config, adapter)
    assert size.adapter == 28 * 16 * ((2048 + 16 * 128) + (2048 + 8 * 128))
    assert size.base == model_size(config).base == model_size(config).trained
    arguments = ABCGRPOConfig("out", use_cpu=True, bf16=True)
    found = estimate_memory(config, arguments, 100, 2, adapter)
    base, trained = size.base, size.adapter
    wanted = {
        "DDP": 4 * base + 16 * trained,
        "ZeRO-2": 2 * base + 2 * trained + 14 * trained / 2,
        "ZeRO-3": (2 * base + 16 * trained) / 2,
        "FSDP2": (4 * base + 16 * trained) / 2,
    }
    for name, total in wanted.items():
        assert found["per_gpu"][name]["state_gib"] == pytest.approx(total / GIB, abs=0.01)
    assert found["head"]["gib"] == pytest.approx((4096 * 32768 + 151936 * 2048) * 2 / GIB, abs=0.01)
    half = ABCGRPOConfig("out", use_cpu=True, bf16=True, model_init_kwargs={"dtype": "bfloat16"})
    state = estimate_memory(config, half, 100, 2, adapter)["per_gpu"]["DDP"]
    assert state["state_gib"] == pytest.approx((2 * base + 16 * trained) / GIB, abs=0.01)
    assert state["state_formula"] == "2·P + 16·A"


def test_a_trained_head_has_a_gradient():
    adapter = LoraConfig(task_type="CAUSAL_LM", r=1, target_modules=["q_proj"], modules_to_save=["lm_head"])
    config = model_config("Qwen/Qwen3-1.7B-Base")
    assert model_size(config, adapter).head_is_trained
    assert model_size(config, adapter).adapter == 28 * (2048 + 2048) + 151936 * 2048


def test_the_terminal_says_what_is_trained():
    said = terminal(dry_run(recipe()))
    assert "trained" in said
    assert "4·P + 16·A" in said


def test_the_shipped_recipe_fits_one_gpu():
    found = dry_run(read_recipe(recipe_path("qwen3-1.7b-base/lora-abc-grpo"), {"num_problems": 17_398}))
    assert found["num_processes"] == 1
    assert (found["rollouts_per_generation"], found["optimizer_steps"]) == (4096, 660)  # as with all weights
    assert found["memory"]["per_gpu"]["DDP"]["smallest_gpu_gib"] < 80


# -- runs --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_kills_leave_no_trace_of_an_adapter(tmp_path):
    session(tmp_path / "undisturbed", 1, **LORA)
    met = kill_repeatedly(tmp_path / "killed", kills=4, processes=1, seed=2, **LORA)
    assert len(met) >= 2, "the run was over before it could be killed"
    assert compare(tmp_path / "killed", tmp_path / "undisturbed") == []
    session(tmp_path / "other", 1, **LORA | {"lora_alpha": 33})
    assert "checkpoint-6/adapter_model.safetensors differs" in compare(tmp_path / "other", tmp_path / "undisturbed")


@pytest.mark.slow
def test_two_processes_go_on_with_an_adapter(tmp_path):
    session(tmp_path / "undisturbed", 2, **LORA)
    assert kill_repeatedly(tmp_path / "killed", kills=2, processes=2, seed=3, **LORA)
    assert compare(tmp_path / "killed", tmp_path / "undisturbed") == []


@pytest.mark.slow
def test_what_a_run_leaves(tmp_path):
    output = train(recipe(tmp_path / "out"))
    manifest = read_json(output / "run.json")
    assert {name: manifest["recipe"][name] for name in LORA} == LORA
    settings = manifest["adapters"]["default"]
    assert settings["target_modules"] == sorted(LORA["lora_target_modules"])
    assert (settings["peft_type"], settings["r"], settings["lora_alpha"]) == ("LORA", 4, 32)
    weights = load_file(output / "checkpoint-4" / "adapter_model.safetensors")
    assert manifest["trained_parameters"] == sum(each.numel() for each in weights.values())
    assert all("lora_" in name for name in weights)
    card = (output / "README.md").read_text()
    assert "library_name: peft" in card
    assert "| lora_alpha | 32 |" in card
    assert json.loads((output / "checkpoint-4/adapter_config.json").read_text())["base_model_name_or_path"][0] == "/"


@pytest.mark.slow
def test_an_experiment_with_one_adapter_and_one_whole_model(in_process):  # noqa: F811
    """From the plan to the report, by the commands of a user."""
    (in_process / "small.yaml").write_text(EXPERIMENT.replace(", MORE", ""))
    result = command("run", "small.yaml", "--output", "study")
    assert result.exception is None, result.output
    runs = {arm: in_process / "study" / "arms" / arm / "seed-0" for arm in ("full", "LoRA")}
    assert (runs["full"] / "training/checkpoint-4/model.safetensors").is_file()
    assert (runs["LoRA"] / "training/checkpoint-4/adapter_model.safetensors").is_file()
    assert not (runs["LoRA"] / "training/checkpoint-4/model.safetensors").exists()
    for arm, directory in runs.items():
        samples = directory / "evaluation" / "checkpoint-4" / "countdown" / "samples.jsonl"
        assert len(samples.read_text().splitlines()) == 16, arm
    report = read_json(in_process / "study" / "report" / "report.json")
    assert {name: by["LoRA"] for name, by in report["configuration"].items() if name in ("use_peft", "lora_r")} == {
        "use_peft": True,
        "lora_r": 4,
    }
    assert "lora_r" in (in_process / "study" / "report" / "report.md").read_text()
    again = command("evaluate", "study/arms/LoRA/seed-0/training/checkpoint-4", "--questions", "2", "--samples", "2")
    assert again.exception is None, again.output
    assert "checkpoint-4" in again.output
