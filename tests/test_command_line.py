"""The command line as a user meets it: in a process of its own, with its output and exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from abcgrpo.cli import main
from abcgrpo.cli.evaluate import repeated_options
from tests.tiny import TINY_SECTION, TINY_TRAINING

RECIPE = "model_name_or_path: countdown-base\nnum_problems: 32\noutput_dir: out\n" + TINY_TRAINING
EXPERIMENT = f"""
model_name_or_path: countdown-base
num_problems: 32
seeds: [0]
arms:
  GRPO: {{rule: grpo}}
  ABC-GRPO: {{rule: abc_grpo}}
evaluation: {{questions: 4, samples: 4, pass_at_k: [2], max_new_tokens: 24}}
{TINY_SECTION}"""


def abcgrpo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    """Run a command of this package."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "abcgrpo", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)


def test_help_teaches_without_loading_torch(tmp_path):
    shown = abcgrpo("--help", cwd=tmp_path)
    assert shown.returncode == 0
    for command in ("train", "evaluate", "run", "report", "abcgrpo run quickstart"):
        assert command in shown.stdout
    code = "import sys, abcgrpo.cli, abcgrpo.report, abcgrpo; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0


def test_evaluation_prints_its_results_without_what_draws():
    code = (
        "import sys, abcgrpo.report.text.evaluation; assert not {'altair', 'vl_convert', 'jinja2'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_loads_torch_at_most(tmp_path):
    code = "import sys, abcgrpo; abcgrpo.policy_loss; assert not {'trl', 'transformers', 'datasets'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0


def paragraph(text: str) -> str:
    """What a panel says, in one line."""
    return " ".join(text.replace("│", " ").split())


MISTAKES = {
    "a misspelt key": (RECIPE + "learning_rat: 1e-5\n", (), "Did you mean 'learning_rate'"),
    "a negative threshold": (RECIPE, ("--eps_neg_high", "-0.2"), "eps_neg_high must be"),
    "a missing model": (RECIPE, ("--model_name_or_path", "./nowhere"), "no such directory"),
    "a model that no hub has": (RECIPE, ("--model_name_or_path", "nobody/nothing"), "cannot be loaded"),
    "a data set that would be ignored": (RECIPE, ("--dataset_name", "some/data"), "has no effect with task countdown"),
    "mathematics without a data set": (RECIPE, ("--task", "mathematics"), "needs dataset_name"),
    "an empty dataset": (RECIPE, ("--num_problems", "0"), "should be at least 1"),
    "a reward of the wrong length": (RECIPE, ("--reward_funcs", "[rewards.short]"), "returned 1 rewards, but"),
    "a reward that is not there": (
        RECIPE,
        ("--reward_funcs", "[rewards.nothing]"),
        "there is no reward in module rewards 'nothing'",
    ),
    "fewer problems than a rollout takes": (
        RECIPE,
        ("--num_problems", "2"),
        "A rollout takes 4 problems, the training set has 2",
    ),
    "an option without a value": (RECIPE, ("--max_steps",), "has no value"),
    "fields that do not fit": (RECIPE, ("--num_generations", "7"), "do not fit together"),
    "an option of the host that has no effect": (RECIPE, ("--delta", "2.0"), "eps_neg_high = delta - 1"),
}


@pytest.mark.parametrize(("recipe", "options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_a_paragraph_and_leaves_nothing_behind(tmp_path, monkeypatch, capsys, recipe, options, message):
    (tmp_path / "recipe.yaml").write_text(recipe)
    (tmp_path / "rewards.py").write_text("def short(completions, **_):\n    return [1.0]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", ["abcgrpo", "train", "recipe.yaml", *options])
    monkeypatch.delitem(sys.modules, "rewards", raising=False)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in paragraph(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def problems(path: Path) -> Path:
    """A file of eight problems in the characters that the shipped base reads."""
    path.write_text("".join(f'{{"problem": "{n},{n + 1},2:9>", "answer": {n}}}\n' for n in range(1, 9)))
    return path


def test_an_evaluation_of_checkpoints_prints_and_writes_the_papers_table(tmp_path):
    import shutil

    from abcgrpo.tasks.countdown import BASE_MODEL

    for step in (2, 10):
        shutil.copytree(BASE_MODEL, tmp_path / "my_run" / f"checkpoint-{step}")
    problems(tmp_path / "my.jsonl")
    command = ("evaluate", "my_run", "--checkpoints", "all", "--benchmarks", "my.jsonl", "countdown", "--samples", "4")
    options = ("--questions", "2", "--max-new-tokens", "24", "--prompt-form", "plain", "--prompt-template", "{problem}")
    shown = abcgrpo(*command, *options, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "my: 2 problems, plain prompt '{problem}'" in shown.stdout
    for expected in ("Avg@4", "Pass@2", "Pass@4", "my_run/checkpoint-10 − my_run/checkpoint-2", "average"):
        assert expected in shown.stdout
    output = tmp_path / "evaluations"
    found = json.loads((output / "results.json").read_text())
    assert list(found["benchmarks"]) == ["my", "countdown"]
    models = found["benchmarks"]["countdown"]["models"]
    assert list(models) == ["my_run/checkpoint-2", "my_run/checkpoint-10"]
    first, second = models.values()
    assert first["avg@4"] == second["avg@4"]  # two copies of one model
    settings = found["benchmarks"]["my"]["models"]["my_run/checkpoint-2"]["settings"]
    assert settings["prompt_template"] == {"text": "{problem}", "form": "plain"}
    assert settings["sampling"] == {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "max_new_tokens": 24, "seed": 0}
    assert len((output / "my_run" / "checkpoint-2" / "my" / "samples.jsonl").read_text().splitlines()) == 8
    assert "| my | my_run/checkpoint-2 | 0.0 [0.0, " in (output / "results.md").read_text()
    latex = (output / "results.tex").read_text()
    assert r"my & my\_run/checkpoint-2 & 0.0 & 0.0 & 0.0 \\" in latex
    assert latex.count(r"\midrule") == 3


EVALUATION_MISTAKES = {
    "a misspelt benchmark": (("--benchmarks", "aime24", "amc32"), "Did you mean 'amc23'"),
    "a misspelt choice": (("--checkpoints", "lst"), "Did you mean 'last'"),
    "checkpoints that are not there": (("--checkpoints", "all"), "no checkpoint-<step> directory"),
    "an estimator that nobody has": (("--pass-at-k", "first"), "Did you mean 'first-k'"),
    "a server's option without one": (("--concurrency", "4"), "concurrency has no effect without server"),
    "a sampler that nobody has": (
        ("--sampler", "vlm"),
        "--sampler: input should be 'transformers', 'vllm' or 'server'",
    ),
    "a share of nothing": (("--top-p", "0"), "--top-p: input should be greater than 0"),
    "a server and a sampler": (("--server", "http://localhost/v1", "--sampler", "vllm"), "give one of them"),
    "a server without a URL": (("--sampler", "server"), "needs its URL"),
    "copies of nothing": (("--data", "."), "have no effect"),
    "an option without effect": (("--temperature", "0", "--top-p", "0.9"), "no effect"),
    "a template without a place": (("--prompt-template", "solve"), "exactly once"),
    "a form that nobody has": (("--prompt-form", "chatt"), "Did you mean 'chat'"),
    "no copy": (("--benchmarks", "aime24", "--data", "."), "no copy of aime24"),
}


@pytest.mark.parametrize(("options", "message"), EVALUATION_MISTAKES.values(), ids=EVALUATION_MISTAKES)
def test_a_mistake_in_an_evaluation_is_a_paragraph(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["abcgrpo", "evaluate", "countdown-base", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in paragraph(capsys.readouterr().err)
    assert not (tmp_path / "evaluations").exists()


def test_a_training_run_without_checkpoints_chosen(tmp_path, monkeypatch, capsys):
    (tmp_path / "run" / "checkpoint-2").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["abcgrpo", "evaluate", "run"])
    with pytest.raises(SystemExit):
        main()
    assert "add --checkpoints all" in paragraph(capsys.readouterr().err)


def test_an_option_of_several_words():
    words = ["base", "--benchmarks", "a", "b", "--samples", "4", "--benchmarks=c", "--benchmarks", "d"]
    expected = [
        "base",
        "--benchmarks",
        "a",
        "--benchmarks",
        "b",
        "--samples",
        "4",
        "--benchmarks=c",
        "--benchmarks",
        "d",
    ]
    assert repeated_options(words, "--benchmarks") == expected


@pytest.mark.slow
def test_a_recipe_trains_on_mathematics_from_a_file(tmp_path):
    problems(tmp_path / "train.jsonl")
    data = "task: mathematics\ndataset_name: train.jsonl\nprompt_form: plain\nprompt_template: '{problem}'\n"
    recipe = RECIPE.replace("num_problems: 32\n", data)
    (tmp_path / "recipe.yaml").write_text(recipe)
    shown = abcgrpo("train", "recipe.yaml", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    metrics = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert metrics[0]["rewards/mathematics_reward/mean"] == 0.0
    assert metrics[0]["grading/no_answer"] == 1.0
    assert "WARNING. The reward was 0 at EVERY logged step" in shown.stderr


@pytest.mark.slow
def test_an_experiment_from_base_to_report(tmp_path):
    """Everything really runs, in processes of its own; what is finished is not done again."""
    (tmp_path / "small.yaml").write_text(EXPERIMENT)
    first = abcgrpo("run", "small.yaml", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "GRPO − base" in first.stdout
    output = tmp_path / "runs" / "small"
    report = json.loads((output / "report" / "report.json").read_text())
    assert list(report["arms"]) == ["GRPO", "ABC-GRPO"]
    assert report["arms"]["GRPO"]["rule"] == {"name": "grpo", "eps": 0.2}
    assert set(report["arms"]["GRPO"]["evaluation"]["countdown"]) >= {"avg@2", "pass@2"}
    assert [point["step"] for point in report["series"]["GRPO"]["evaluation"]["countdown"]["avg@2"]] == [0, 2]
    assert (output / "report" / "figures" / "rule_gradient_negative.png").exists()
    manifest = json.loads((output / "arms" / "GRPO" / "seed-0" / "training" / "run.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["environment"]["packages"]["trl"].startswith("1.16")

    before = {path: path.stat().st_mtime_ns for path in (output / "arms").rglob("*") if path.is_file()}
    second = abcgrpo("run", "small.yaml", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert before == {path: path.stat().st_mtime_ns for path in (output / "arms").rglob("*") if path.is_file()}
    assert second.stdout == first.stdout

    (tmp_path / "small.yaml").write_text(EXPERIMENT.replace("1e-4", "2e-4"))
    third = abcgrpo("run", "small.yaml", cwd=tmp_path)
    assert third.returncode == 2
    assert "training was" in paragraph(third.stderr)


@pytest.mark.slow
def test_an_arm_that_fails_does_not_stop_the_others(tmp_path):
    (tmp_path / "rewards.py").write_text(
        "import os\n"
        "def fragile(completions, numbers, target, trainer_state, **_):\n"
        "    if 'ABC-GRPO' in os.environ['ABCGRPO_PROGRESS_FILE']:\n"
        "        raise RuntimeError('the judge is out')\n"
        "    return [0.0] * len(completions)\n"
    )
    (tmp_path / "small.yaml").write_text("reward_funcs: [rewards.fragile]\n" + EXPERIMENT)
    shown = abcgrpo("run", "small.yaml", cwd=tmp_path)
    assert shown.returncode == 1
    assert "the judge is out" in shown.stderr
    report = json.loads((tmp_path / "runs" / "small" / "report" / "report.json").read_text())
    assert list(report["arms"]) == ["GRPO"]
    assert any("ABC-GRPO" in line for line in report["missing"])


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_numbers(tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    lines = []
    for name in ("first", "second"):
        shown = abcgrpo("train", "recipe.yaml", "--output_dir", name, cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr
        assert "EVERY logged step" not in shown.stderr  # it has rewards
        records = map(json.loads, (tmp_path / name / "metrics.jsonl").read_text().splitlines())
        lines.append([{k: v for k, v in r.items() if "time" not in k and "per_second" not in k} for r in records])
    assert lines[0] == lines[1]
    again = abcgrpo("train", "recipe.yaml", "--output_dir", "first", cwd=tmp_path)
    assert again.returncode == 2
    assert "already holds a run" in paragraph(again.stderr)
