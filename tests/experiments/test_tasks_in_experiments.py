"""What an experiment takes from its task: sampling, grader and rewards of the evaluation; mistakes told at once."""

import pytest
import typer

from abcgrpo.cli import app
from abcgrpo.errors import UserError
from abcgrpo.evaluation.evaluate import sampling_of
from abcgrpo.evaluation.options import EvaluationOptions
from abcgrpo.experiments.jobs.job import Worker
from abcgrpo.experiments.specification import EvaluationSection, read_experiment
from abcgrpo.tasks import get_task
from abcgrpo.tasks.coin import coin
from abcgrpo.training.recipe import Recipe
from abcgrpo.training.run import train

EXPERIMENT = """
model_name_or_path: countdown-base
task: {task}
arms:
  {arm}: {{}}
training: {{max_steps: 1}}
evaluation: {evaluation}
"""


def options(tmp_path, task: str, evaluation: str, extra: str = "", arm: str = "A") -> list[str]:
    path = tmp_path / "mine.yaml"
    path.write_text(EXPERIMENT.format(task=task, evaluation=evaluation, arm=arm) + extra)
    return Worker(read_experiment(str(path)))._evaluation_options(64)


def test_an_experiment_leaves_sampling_to_the_task(tmp_path):
    given = options(tmp_path, "mathematics", "{benchmark: aime24, samples: 64}")
    assert "--benchmarks=aime24" in given
    for name in ("temperature", "top-p", "top-k", "max-new-tokens", "task"):
        assert not [each for each in given if each.startswith(f"--{name}=")]
    sampling = sampling_of(get_task("mathematics"), EvaluationOptions())
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_new_tokens) == (0.6, 0.95, 20, 4096)


def test_what_an_experiment_says_of_sampling_is_passed_on(tmp_path):
    given = options(tmp_path, "countdown", "{temperature: 0.7, max_new_tokens: 9, samples: 64}")
    assert {"--temperature=0.7", "--max-new-tokens=9", "--benchmarks=countdown"} <= {*given}


def test_a_server_is_passed_on_with_its_options(tmp_path):
    given = options(tmp_path, "countdown", "{server: http://a/v1, concurrency: 4, retries: 0, timeout: 9}")
    assert {"--sampler=server", "--server=http://a/v1", "--concurrency=4", "--retries=0", "--timeout=9.0"} <= {*given}


def test_every_option_of_the_section_is_one_of_the_command():
    """The names that the section shares with `abcgrpo evaluate`, and what each is by default."""
    command = typer.main.get_command(app).commands["evaluate"]  # type: ignore[attr-defined]
    defaults = {each.name: each.default for each in command.params}
    shared = {name: field.default for name, field in EvaluationOptions.model_fields.items()}
    assert shared.items() <= defaults.items()
    assert EvaluationSection.model_fields.keys() - shared.keys() == {"benchmark", "pass_at_k"}


def test_a_file_is_graded_by_the_experiments_task_and_rewards(tmp_path):
    (tmp_path / "my_graded_task.py").write_text("def grade(text, row):\n    return True\n")
    task = str(tmp_path / "my_graded_task.py")
    extra = "reward_funcs: [my_rewards.a, my_rewards.b]\n"
    given = options(tmp_path, task, "{benchmark: test.jsonl, samples: 64}", extra)
    assert {f"--task={task}", "--benchmarks=test.jsonl", "--reward-funcs=my_rewards.a,my_rewards.b"} <= {*given}


def test_a_coin_rewards_and_does_not_grade():
    task = get_task("countdown")
    tossed, rewarded = task.rewarded_by([coin]), task.rewarded_by([lambda completions, **_: [1.0] * len(completions)])
    assert tossed.grade is task.grade
    assert tossed.own_rewards == (coin,)
    assert rewarded.grade is not task.grade


def test_an_arm_is_not_called_as_the_base_is(tmp_path):
    with pytest.raises(UserError, match="an arm cannot be called 'base'"):
        options(tmp_path, "countdown", "{samples: 64}", arm="base")


def test_training_explains_a_missing_chat_template(tmp_path):
    training = {
        "output_dir": str(tmp_path / "run"), "max_steps": 1, "use_cpu": True, "bf16": False, "num_generations": 2,
        "per_device_train_batch_size": 2,
    }  # fmt: skip
    with pytest.raises(UserError, match=r"has no chat template.*prompt_form: plain"):
        train(Recipe("countdown-base", prompt_form="chat", num_problems=8, training=training))
    assert not (tmp_path / "run").exists()
