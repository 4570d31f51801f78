"""Batches, memory and data of a recipe before it runs; the arithmetic, against the trainer and the published logs."""

import json
import sys
from pathlib import Path

import pytest
from datasets.exceptions import DatasetNotFoundError

from abcgrpo.cli import main
from abcgrpo.errors import UserError
from abcgrpo.experiments.specification import read_experiment
from abcgrpo.training.batches import plan_batches, planned_processes, require_processes
from abcgrpo.training.dry_run import dry_run, terminal
from abcgrpo.training.memory import GIB, KNOWN_SHAPES, estimate_memory, model_config, model_size
from abcgrpo.training.recipe import read_recipe, recipe_from_flat
from abcgrpo.training.shipped import SHIPPED, recipe_names, recipe_path, run_name
from abcgrpo.trl import ABCGRPOConfig
from tests.trl.trainers import abc_trainer, settings

DAPO_PROBLEMS = 17_398
PUBLISHED = Path(__file__).parents[2].parent / "shared" / "data" / "published"
EXPERIMENTS = sorted(path for path in SHIPPED.glob("*.yaml") if not path.stem.startswith("paper-"))
"""Those on small bases; the paper's are compared with its recipes in `tests/experiments/test_cost.py`."""
BOUNDARIES = {"eps_pos_high", "eps_pos_low", "eps_neg_high", "eps_neg_low"}
COUNTDOWN = {"model_name_or_path": "countdown-base", "num_problems": 100, "num_generations": 4, "loss_type": "grpo"}


def shipped(name: str, **changes):
    return read_recipe(recipe_path(name), changes)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_of_the_paper_gives_the_published_number_of_steps(name):
    found = dry_run(shipped(name, num_problems=DAPO_PROBLEMS))
    small = "1.7b" in name
    assert found["rollouts_per_generation"] == (4096 if small else 2048)
    assert found["optimizer_steps_per_generation"] == 4
    assert found["optimizer_steps"] == (660 if small else 1340)
    assert found["num_processes"] == (1 if "lora" in name else 8)
    assert found["memory"]["estimated"]
    assert not found["dataset"]["columns_checked"]
    assert "not checked" in terminal(found)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_arm_of_every_experiment_can_be_tried(path, monkeypatch):
    experiment = read_experiment(str(path))
    for run in experiment.runs():
        if run.seed != experiment.seeds[0]:
            continue
        recipe = experiment.recipe(run.arm, run.seed, "out", run.condition)
        found = dry_run(recipe)
        assert found["dataset"]["columns_checked"]
        assert found["num_problems"] == experiment.num_problems
        assert found["optimizer_steps"] == recipe.training["max_steps"]
        assert found["rollouts_per_generation"] == 512
        generations = recipe.training["max_steps"] / found["optimizer_steps_per_generation"]
        # The same number of answers whatever they are cut into; the quickstarts of other tasks are half as long.
        assert generations == (30 if path.stem.startswith("quickstart-") else 60)


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"the published logs are not at {PUBLISHED}")
@pytest.mark.parametrize("model", ["Qwen3-1.7B-Base", "Qwen3-4B-Base"])
@pytest.mark.parametrize("arm", ["grpo", "abc-grpo"])
def test_the_published_logs_say_the_same(model, arm):
    log = json.loads((PUBLISHED / f"{model}-{arm}" / "trainer_state.json").read_text())
    recipe = shipped(f"{model.lower()}/released-{arm}", num_problems=DAPO_PROBLEMS)
    found = dry_run(recipe)
    assert found["optimizer_steps"] == log["max_steps"] == log["global_step"]
    assert recipe.training["per_device_train_batch_size"] == log["train_batch_size"]
    assert recipe.training["save_steps"] == log["save_steps"]
    second = next(entry for entry in log["log_history"] if entry["step"] == 2)
    warmup = recipe.training["warmup_steps"] * log["max_steps"]
    assert second["learning_rate"] == pytest.approx(recipe.training["learning_rate"] / warmup)
    lengths = [entry["completions/max_length"] for entry in log["log_history"] if "completions/max_length" in entry]
    assert max(lengths) == recipe.training["max_completion_length"]
    assert len(lengths) == log["max_steps"] / found["optimizer_steps_per_generation"]
    ratios = [e["sampling/importance_sampling_ratio/max"] for e in log["log_history"] if "reward" in e]
    assert max(ratios) == recipe.training["vllm_importance_sampling_clip_max"]


@pytest.mark.parametrize("model", ["qwen3-1.7b-base", "qwen3-4b-base"])
@pytest.mark.parametrize("form", ["paper", "released"])
def test_the_arms_of_a_pair_differ_in_the_boundaries_alone(model, form):
    grpo, abc = (shipped(f"{model}/{form}-{arm}").to_flat() for arm in ("grpo", "abc-grpo"))
    differing = {name for name in grpo.keys() | abc.keys() if grpo.get(name) != abc.get(name)}
    assert differing == {"eps_pos_low", "eps_neg_high", "output_dir"}
    assert {abc[name] for name in BOUNDARIES} == {0.2}
    assert (grpo["eps_pos_high"], grpo["eps_neg_low"]) == (0.2, 0.2)
    assert grpo["output_dir"] == f"runs/{model}/{form}-grpo"


@pytest.mark.parametrize("model", ["qwen3-1.7b-base", "qwen3-4b-base"])
def test_the_forms_differ_where_paper_and_configuration_do(model):
    paper, released = (shipped(f"{model}/{form}-abc-grpo").to_flat() for form in ("paper", "released"))
    differing = {name for name in released if paper.get(name) != released[name]}
    assert differing == {"scale_rewards", "loss_type", "prompt_template", "output_dir"}
    assert (paper["scale_rewards"], paper["loss_type"]) == ("none", "grpo")
    assert (released["scale_rewards"], released["loss_type"]) == ("group", "dapo")
    assert r"\boxed{{}}.{problem}" in released["prompt_template"]


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_says_at_its_top_how_it_differs_from_the_paper(name):
    text = recipe_path(name).read_text()
    head = text[: text.index("\n\n")]
    assert all(line.startswith("#") for line in head.splitlines())
    assert "Differences from the paper:" in head
    assert f"-m abcgrpo train {name}" in head


@pytest.mark.parametrize(
    "options",
    [
        {"num_train_epochs": 3, "gradient_accumulation_steps": 2, "steps_per_generation": 8},
        {"num_train_epochs": 2.5, "gradient_accumulation_steps": 4, "steps_per_generation": 4},
        {"num_train_epochs": 2, "gradient_accumulation_steps": 3, "steps_per_generation": 4, "num_iterations": 2},
        {"num_train_epochs": 1, "gradient_accumulation_steps": 2, "generation_batch_size": 32},
        {"max_steps": 7, "gradient_accumulation_steps": 2},
    ],
)
def test_the_real_trainer_counts_the_same_steps(tmp_path, options):
    """64 problems; a generation's share of them does not always divide 64."""
    options = {"per_device_train_batch_size": 12, "num_generations": 4} | options
    if "generation_batch_size" in options:
        options["per_device_train_batch_size"] = 8
    trainer = abc_trainer(tmp_path, **options)
    *_, max_steps = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())
    planned = plan_batches(ABCGRPOConfig(**settings(tmp_path, **options)), 1, len(trainer.train_dataset))
    assert planned.optimizer_steps == max_steps
    assert planned.rollouts_per_generation == trainer.args.generation_batch_size


def test_the_number_of_processes_comes_from_the_recipe_or_the_launcher(monkeypatch):
    recipe = recipe_from_flat(COUNTDOWN | {"per_device_train_batch_size": 4, "output_dir": "out"}, "test")
    several = recipe.with_fields({"num_processes": 2}, "test")
    assert [dry_run(each)["rollouts_per_generation"] for each in (recipe, several)] == [4, 8]
    monkeypatch.setenv("WORLD_SIZE", "4")  # what a launcher sets
    assert [planned_processes(each) for each in (recipe, several)] == [4, 2]


def test_a_batch_that_only_many_processes_can_form(tmp_path):
    """One response per process: eight of them are two groups, one is none."""
    recipe = recipe_from_flat(COUNTDOWN | {"per_device_train_batch_size": 1, "output_dir": "out"}, "test")
    with pytest.raises(UserError, match="do not fit together"):
        dry_run(recipe)
    assert dry_run(recipe.with_fields({"num_processes": 8}, "test"))["problems_per_generation"] == 2


def test_a_run_on_another_number_of_processes_is_refused():
    recipe = shipped("qwen3-4b-base/paper-grpo")
    require_processes(recipe, 8)
    with pytest.raises(UserError, match="num_processes=8, and 2 started"):
        require_processes(recipe, 2)


def test_the_published_sizes_of_the_models():
    """Qwen's model cards: 1.7 and 4.0 billion parameters, 1.4 and 3.6 without the embedding."""
    for name, total, inner in (("Qwen/Qwen3-1.7B-Base", 1.72, 1.4), ("Qwen/Qwen3-4B-Base", 4.02, 3.6)):
        config = model_config(name)
        parameters = model_size(config).base
        assert parameters / 1e9 == pytest.approx(total, abs=0.005)
        assert (parameters - config.vocab_size * config.hidden_size) / 1e9 == pytest.approx(inner, abs=0.05)
    assert set(KNOWN_SHAPES) == {shipped(name).model_name_or_path for name in recipe_names()}


def test_memory_by_hand(tmp_path):
    config = model_config("Qwen/Qwen3-4B-Base")
    recipe = shipped("qwen3-4b-base/paper-grpo")
    arguments = ABCGRPOConfig(**(recipe.training | {"use_cpu": True}))
    found = estimate_memory(config, arguments, recipe.max_prompt_tokens, 8)
    tokens, layer = 4 * (1024 + 3072), 4 * 2560 + 2 * (32 + 16) * 128 + 32 * 128 + 4 * 9728
    assert found["activations"]["gib"] == pytest.approx(tokens * 2 * (36 * 2560 + layer) / GIB, abs=0.01)
    assert found["per_gpu"]["ZeRO-3"]["state_gib"] == pytest.approx(16 * 4.022e9 / 8 / GIB, abs=0.01)
    assert found["per_gpu"]["DDP"]["state_gib"] == pytest.approx(16 * 4.022e9 / GIB, abs=0.1)
    assert found["per_gpu"]["DDP"]["smallest_gpu_gib"] > 80 > found["per_gpu"]["ZeRO-3"]["smallest_gpu_gib"]
    assert found["vllm"]["cache_gib_per_longest_response"] == pytest.approx(2 * 36 * 8 * 128 * 2 * 4096 / GIB, abs=0.01)


def test_a_prompt_that_is_too_long_is_left_out_and_counted(tmp_path, caplog):
    """The countdown base has one token per character."""
    problems = [{"problem": "1" * length, "answer": 1} for length in (3, 5, 8, 20)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))
    flat = {
        "model_name_or_path": "countdown-base",
        "task": "mathematics",
        "dataset_name": str(tmp_path / "train.jsonl"),
        "prompt_template": "{problem}",
        "prompt_form": "plain",
        "output_dir": "out",
        "num_generations": 2,
        "per_device_train_batch_size": 2,
    }
    assert dry_run(recipe_from_flat(flat, "test"))["num_problems"] == 4
    found = dry_run(recipe_from_flat(flat | {"max_prompt_tokens": 8}, "test"))
    assert found["num_problems"] == 3
    assert "1 of 4 prompts are longer than 8 tokens" in caplog.text
    assert "3 prompts of at most 8 tokens" in found["dataset"]["summary"]
    with pytest.raises(UserError, match="leaves the training set empty"):
        dry_run(recipe_from_flat(flat | {"max_prompt_tokens": 2}, "test"))


@pytest.mark.parametrize(
    ("error", "answered"), [(DatasetNotFoundError("no such"), True), (ConnectionError("no"), False)]
)
def test_a_data_set_that_the_hub_does_not_have_is_refused(monkeypatch, error, answered):
    def load_dataset(*_, **__):
        raise error

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    recipe = shipped("qwen3-4b-base/paper-grpo", num_problems=DAPO_PROBLEMS)
    if answered:
        with pytest.raises(UserError, match="cannot be loaded from the hub: no such"):
            dry_run(recipe)
    else:
        assert not dry_run(recipe)["dataset"]["columns_checked"]


def command(monkeypatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["abcgrpo", "train", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


@pytest.mark.parametrize("recipe", ["qwen3-4b-base/released-abc-grpo", "recipes/qwen3-4b-base/released-abc-grpo.yaml"])
def test_the_command_prints_and_writes_what_it_found(tmp_path, monkeypatch, capsys, recipe):
    monkeypatch.chdir(Path(__file__).parents[2])
    output = tmp_path / "found.json"
    options = ("--dry-run", "--json", str(output), "--num-problems", str(DAPO_PROBLEMS))
    assert command(monkeypatch, *options, recipe) == 0
    assert "optimizer steps                   1340" in capsys.readouterr().out
    found = json.loads(output.read_text())
    assert [found[name] for name in ("rollouts_per_generation", "optimizer_steps_per_generation")] == [2048, 4]
    assert found["optimizer_steps"] == 1340
    assert found["recipe"]["output_dir"] == "runs/qwen3-4b-base/released-abc-grpo"


MISTAKES = {
    "a recipe that nobody ships": (("qwen3-4b-base/paper-abcgrpo", "--dry-run"), "Did you mean"),
    "JSON of a real run": (("qwen3-4b-base/paper-grpo", "--json", "a.json"), "no effect without --dry-run"),
    "a file that is not there": (("nowhere.yaml", "--dry-run"), "does not exist"),
    "too few problems": (("qwen3-4b-base/paper-grpo", "--dry-run", "--num-problems", "255"), "takes 256 problems"),
    "no process": (("qwen3-4b-base/paper-grpo", "--dry-run", "--num-processes", "0"), "should be at least 1"),
    "a run on one process": (("qwen3-4b-base/paper-grpo", "--use_cpu", "true"), "num_processes=8, and 1 started"),
    "another data set that is not there": (
        ("qwen3-4b-base/paper-grpo", "--dry-run", "--dataset_name", "no.jsonl", "--dataset_config=null"),
        "no.jsonl",
    ),
}


@pytest.mark.parametrize(("words", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_a_paragraph(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, *words) == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


def test_the_name_of_a_run(tmp_path):
    assert run_name(recipe_path("qwen3-4b-base/paper-grpo")) == "qwen3-4b-base/paper-grpo"
    assert run_name(tmp_path / "mine.yaml") == "mine"
