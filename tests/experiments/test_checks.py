"""Experiments and recipes that cannot work: each is refused before anything runs, in a paragraph, with exit code 2."""

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from transformers import AutoConfig

from abcgrpo import extras
from abcgrpo.cli import main
from abcgrpo.errors import UserError
from abcgrpo.evaluation.samplers.local import TransformersSampler
from abcgrpo.evaluation.sampling import Sampling
from abcgrpo.experiments.checks import check_experiment
from abcgrpo.experiments.jobs.job import reason
from abcgrpo.experiments.jobs.runner import ExperimentRunner
from abcgrpo.experiments.specification import read_experiment
from abcgrpo.tasks import BASES

EXPERIMENT = """
model_name_or_path: countdown-base
task: countdown
num_problems: 32
seeds: [0]
arms:
  GRPO: {rule: grpo}
  ABC-GRPO: {rule: abc_grpo}
training:
  per_device_train_batch_size: 16
  steps_per_generation: 2
  num_generations: 8
  max_completion_length: 24
  max_steps: 2
  bf16: false
  gradient_checkpointing: false
evaluation: {questions: 4, samples: 4, pass_at_k: [2], max_new_tokens: 24}
"""
TRAINING, EVALUATION = "training:\n", "evaluation: {questions: 4, samples: 4, pass_at_k: [2]"
MISTAKES = {
    "a threshold for all arms": ((TRAINING, "training:\n  eps_pos_low: 0.5\n"), "eps_pos_low would replace"),
    "a reward that is not there": ((TRAINING, "reward_funcs: [nowhere.reward]\n" + TRAINING), "'nowhere.reward'"),
    "a reward that is no function": ((TRAINING, "reward_funcs: [math.pi]\n" + TRAINING), "float, not a function"),
    "k = 0": (("pass_at_k: [2]", "pass_at_k: [0, 2]"), "greater than or equal to 1"),
    "k twice": (("pass_at_k: [2]", "pass_at_k: [2, 2]"), "[2] are listed twice"),
    "identical arms": (("ABC-GRPO: {rule: abc_grpo}", "ABC-GRPO: {rule: grpo}"), "'GRPO' and 'ABC-GRPO' are identical"),
    "a negative learning rate": ((TRAINING, "training:\n  learning_rate: -1e-5\n"), "learning_rate=-1e-05 is negative"),
    "no step": (("max_steps: 2", "max_steps: 0"), "max_steps=0 trains nothing"),
    "no epoch": (("max_steps: 2", "num_train_epochs: 0"), "num_train_epochs=0.0 trains nothing"),
    "no room for an answer": (("max_completion_length: 24", "max_completion_length: 0"), "no room for an answer"),
    "temperature 0": ((TRAINING, "training:\n  temperature: 0.0\n"), "temperature=0.0"),
    "batches that do not divide": (("num_generations: 8", "num_generations: 5"), "do not fit together"),
    "a group of one": (("num_generations: 8", "num_generations: 1"), "at least 2 generations"),
    "more problems in a rollout than there are": (("num_problems: 32", "num_problems: 3"), "takes 4 problems"),
    "more problems than can be made": (
        ("countdown\nnum_problems: 32", "base-conversion\nnum_problems: 30000"),
        "num_problems=30000, task base-conversion: there are fewer than 30,000 different problems",
    ),
    "a level that there is not": (
        (TRAINING, "training:\n  importance_sampling_level: tokens\n"), "not 'tokens'. Did you mean 'token'?"
    ),
    "a loss that there is not": ((TRAINING, "training:\n  loss_type: foo\n"), "loss_type is one of"),
    "no such model": (("_path: countdown-base", "_path: ./nowhere"), "There is no model at ./nowhere"),
    "a data set of countdown": ((TRAINING, "dataset_name: a/b\n" + TRAINING), "dataset_name has no effect"),
    "nothing saved": ((TRAINING, 'training:\n  save_strategy: "no"\n'), "would save no model"),
    "TRL's bound in an arm of ours": ((TRAINING, "training:\n  epsilon: 0.1\n"), "epsilon=0.1 has no effect"),
    "our threshold in TRL's arm": (
        ("{rule: grpo}", "{objective: trl, training: {eps_pos_low: 0.1}}"),
        "eps_pos_low is a threshold of ABC-GRPO",
    ),
    "no such benchmark": ((EVALUATION, EVALUATION + ", benchmark: aime42"), "no benchmark 'aime42'"),
    "sampling without effect": ((EVALUATION, EVALUATION + ", temperature: 0, top_k: 5"), "top_k have no effect"),
    "more questions than there are": (
        (EVALUATION, EVALUATION.replace("4", "31", 1) + ", benchmark: FILE"), "has 30 problems, not 31"
    ),
    "a task without data": (
        (EVALUATION, "task: mathematics\n" + EVALUATION + ", benchmark: FILE"), "task mathematics needs dataset_name"
    ),
    "no such task": (("task: countdown", "task: countup"), "no task 'countup'. Did you mean 'countdown'?"),
    "no such tracker": ((TRAINING, "training:\n  report_to: [wanbd]\n"), "report_to names an unknown tracker"),
}  # fmt: skip


def run(monkeypatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["abcgrpo", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


def changed(tmp_path, change) -> str:
    """The experiment with one change; FILE is a benchmark of 30 problems."""
    benchmark = tmp_path / "thirty.jsonl"
    benchmark.write_text("".join(json.dumps({"problem": f"{n} + 1", "answer": n + 1}) + "\n" for n in range(30)))
    text = EXPERIMENT.replace(*change)
    assert text != EXPERIMENT
    if "task: mathematics" in text:
        text = text.replace("task: countdown\n", "")
    return text.replace("FILE", str(benchmark))


@pytest.mark.parametrize(("change", "message"), MISTAKES.values(), ids=MISTAKES)
@pytest.mark.parametrize("options", [("--plan",), ()], ids=["plan", "run"])
def test_a_mistake_is_told_before_anything_runs(tmp_path, monkeypatch, capsys, change, message, options):
    (tmp_path / "mine.yaml").write_text(changed(tmp_path, change))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    assert run(monkeypatch, "run", "../mine.yaml", *options) == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not list(work.iterdir())


def test_what_is_right_passes(tmp_path):
    (tmp_path / "mine.yaml").write_text(EXPERIMENT)
    assert check_experiment(read_experiment(str(tmp_path / "mine.yaml"))) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((TRAINING, "training:\n  use_vllm: true\n"), "vLLM is not installed here"),
        ((TRAINING, "training:\n  report_to: [swanlab]\n"), "the tracker swanlab is not installed here"),
        (("_path: countdown-base", "_path: nobody/nothing"), "`hf download nobody/nothing` says where it puts one"),
    ],
)
def test_what_only_this_machine_lacks_is_planned_and_not_run(tmp_path, monkeypatch, capsys, change, message):
    if message.startswith("vLLM"):
        monkeypatch.setattr("abcgrpo.training.arguments.find_spec", lambda name: None)
    (tmp_path / "mine.yaml").write_text(changed(tmp_path, change))
    monkeypatch.setattr(sys, "argv", ["abcgrpo", "run", str(tmp_path / "mine.yaml"), "--plan"])
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "run", "mine.yaml", "--plan") == 0
    printed = capsys.readouterr().out
    assert "CANNOT RUN HERE YET" in printed
    assert message in printed
    assert run(monkeypatch, "run", "mine.yaml") == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "runs").exists()


def test_a_model_that_was_downloaded_before_is_found_without_the_hub(tmp_path, monkeypatch):
    downloaded = tmp_path / "models--Qwen--Qwen3-1.7B-Base"
    shutil.copytree(BASES["countdown-base"], downloaded / "snapshots" / "abc")
    (downloaded / "refs").mkdir()
    (downloaded / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "mine.yaml").write_text(EXPERIMENT.replace("countdown-base", "Qwen/Qwen3-1.7B-Base"))
    assert check_experiment(read_experiment(str(tmp_path / "mine.yaml"))) == []
    sampler = TransformersSampler("Qwen/Qwen3-1.7B-Base", Sampling())
    assert sampler.model.config.hidden_size == AutoConfig.from_pretrained(BASES["countdown-base"]).hidden_size


RECIPE = "model_name_or_path: countdown-base\nnum_problems: 32\nper_device_train_batch_size: 16\nbf16: false\n"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--max_steps", "0"), "max_steps=0 trains nothing"),
        (("--report_to", "wanbd"), "report_to names an unknown tracker"),
        (("--max_completion_length", "0"), "no room for an answer"),
        (("--use_vllm", "true"), "vLLM is not installed here"),
        (("--save_strategy", "no"), "would save no model"),
        (
            ("--task", "base-conversion", "--num-problems", "30000"),
            "four of five draws repeat an earlier one. Ask for at most 9,625.",
        ),
        (("--loss_type", "foo"), "abcgrpo: loss_type is one of"),
        (("--model_name_or_path", "./nowhere"), "There is no model at ./nowhere"),
        (("--model_name_or_path", "nobody/nothing"), "'nobody/nothing' cannot be loaded"),
    ],
)
def test_train_says_the_same(tmp_path, monkeypatch, capsys, option, message):
    monkeypatch.setattr("abcgrpo.training.arguments.find_spec", lambda name: None)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "train", "recipe.yaml", *option) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_a_failed_job_is_summed_up_by_its_error(tmp_path, monkeypatch):
    """Two failures: a mistake, told in several lines, and an error of the program, with a traceback in the log."""
    (tmp_path / "rewards.py").write_text(
        "def wrong(completions, **_):\n    return [1.0]\n\n\n"
        "def raises(completions, **_):\n    raise RuntimeError('no reward today')\n"
    )
    monkeypatch.chdir(tmp_path)
    for name, expected in (("wrong", "reward"), ("raises", "no reward today")):
        (tmp_path / "mine.yaml").write_text(f"reward_funcs: [rewards.{name}]\n" + EXPERIMENT)
        runner = ExperimentRunner(read_experiment("mine.yaml"), tmp_path / name)
        runner.jobs = [job for job in runner.jobs if job.name == "GRPO, seed 0"]
        (said,) = runner.run().values()
        assert said.startswith("`abcgrpo train` failed: ")
        assert expected in said
        assert str(tmp_path / name / "arms" / "GRPO" / "seed-0" / "log.txt") in said


def test_a_job_that_was_killed_says_by_what(tmp_path):
    assert reason(-9, tmp_path / "error.txt") == "was ended by SIGKILL; the system does this when memory runs out"
    assert reason(-11, tmp_path / "error.txt") == "was ended by SIGSEGV"
    assert reason(3, tmp_path / "error.txt") == "ended with exit code 3 without a message"


@pytest.mark.parametrize(
    ("words", "module", "extra"),
    [
        (("run", "quickstart"), "scipy", "trl,report"),
        (("run", "quickstart", "--plan"), "altair", "trl,report"),
        (("train", "recipe.yaml"), "trl", "trl"),
        (("evaluate", "countdown-base", "--benchmarks", "countdown", "--output", "out"), "scipy", "trl"),
        (("evaluate", "m", "--benchmarks", "countdown", "--output", "o", "--server", "url"), "openai", "trl,server"),
        (("report", "somewhere"), "jinja2", "report"),
        (("grade", "--input", "a", "--output", "b"), "sympy", "grading"),
        (("export", "a.parquet", "--task", "countdown"), "pyarrow", "trl"),
    ],
)  # fmt: skip
def test_a_bare_installation_names_the_extra(tmp_path, monkeypatch, capsys, words, module, extra):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == module else True)
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *words) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"({module}). Install them with: pip install 'abcgrpo[{extra}]'" in said
    assert not list(tmp_path.iterdir())


def test_the_extras_are_those_of_the_package():
    """Distributions whose modules have other names are listed here; the others are imported by their own."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    modules = {"vl-convert-python": "vl_convert", "reasoning-gym": "reasoning_gym"}
    declared = {}
    for extra, requirements in project["optional-dependencies"].items():
        names = [re.split(r"[>=\[]", each)[0].strip() for each in requirements]
        declared[extra] = {modules.get(name, name) for name in names}
    for extra, known in extras.MODULES.items():
        brought = declared[extra] - {"abcgrpo"} | (declared["grading"] if "abcgrpo" in declared[extra] else set())
        assert set(known) == brought, extra


def test_an_unknown_extra_is_a_mistake_of_ours():
    with pytest.raises(KeyError):
        extras.require_extras("abcgrpo run", "everything")
    with pytest.raises(UserError, match="no_such_module"):
        extras.require_modules("abcgrpo run", ["no_such_module"], "trl")
