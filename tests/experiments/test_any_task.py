"""`abcgrpo run` with two arms on tasks of every kind, from YAML to report; warnings; grades that are corrected."""

import json
import sys
from pathlib import Path

import pytest

from abcgrpo.errors import UserError
from abcgrpo.files import read_json, read_json_lines
from abcgrpo.tasks import BASES, get_task
from tests.experiments.in_process import command, in_process  # noqa: F401
from tests.tiny import TINY_SECTION

EXPERIMENT = """
model_name_or_path: {base}
task: {task}
num_problems: 32
seeds: [0]
arms:
  GRPO: {{rule: grpo}}
  ABC-GRPO: {{}}
evaluation: {{questions: 4, samples: {samples}, pass_at_k: [2]{evaluation}}}
{training}  use_cpu: true
"""

LETTERS = """
eval_dataset = [{"problem": f"{n},{n + 1}:{2 * n + 1}>", "most": n + 20} for n in range(1, 7)]
train_dataset = [{"problem": f"{n},{n + 2}:{2 * n + 2}>", "most": n + 20} for n in range(1, 33)]
prompt_form = "plain"
sampling = {"max_new_tokens": 12}

def grade(text, row):
    return 0 < len(text) <= row["most"] and "+" in text
"""

REWARDS = """
def sums(completions, trainer_state=None, **columns):
    if {wrong} and trainer_state is not None:
        trainer_state["step"]
    return [float("{sign}" in text) for text in completions]
"""


def run(directory: Path, base: str, task: str, evaluation: str = "", samples: int = 4, extra: str = ""):
    """The result of the command, and its report."""
    content = EXPERIMENT.format(base=base, task=task, evaluation=evaluation, samples=samples, training=TINY_SECTION)
    (directory / "mine.yaml").write_text(content + extra)
    result = command("run", "mine.yaml")
    assert result.exception is None, result.output
    return result, read_json(directory / "runs" / "mine" / "report" / "report.json")


def evaluations(directory: Path) -> list[Path]:
    """The directories of samples, the base's first."""
    found = sorted(path.parent for path in (directory / "runs" / "mine").rglob("evaluation.json"))
    assert found
    return sorted(found, key=lambda path: "arms" in path.parts)


def require_measured(directory: Path, report: dict, name: str, sampled: dict) -> None:
    """Base and both arms were measured on the task, sampled as it says, and graded as it grades."""
    assert list(report["benchmarks"]) == [name]
    assert list(report["arms"]) == ["GRPO", "ABC-GRPO"]
    assert report["missing"] == []
    assert len(evaluations(directory)) == 3
    for path in evaluations(directory):
        settings = read_json(path / "evaluation.json")
        assert {key: settings["sampling"][key] for key in sampled} == sampled
        assert len(list(read_json_lines(path / "samples.jsonl"))) == 16


@pytest.mark.parametrize("base", sorted(BASES))
def test_each_shipped_base(in_process, base):  # noqa: F811
    task = get_task(base.removesuffix("-base"))
    _, report = run(in_process, base, task.name)
    require_measured(
        in_process, report, task.name, {"temperature": 1.0, "max_new_tokens": task.sampling.max_new_tokens}
    )
    rows = {row["id"]: row for row in task.held_out_rows(4)}
    for path in evaluations(in_process):
        for line in read_json_lines(path / "samples.jsonl"):
            assert line["correct"] is task.grade([line["text"]], [rows[line["problem"]]])[0].correct


def test_a_file_of_ones_own(in_process):  # noqa: F811
    (in_process / "my_letters.py").write_text(LETTERS)
    _, report = run(in_process, "countdown-base", "my_letters.py")
    require_measured(in_process, report, "my_letters", {"temperature": 1.0, "max_new_tokens": 12})
    for path in evaluations(in_process):
        lines = list(read_json_lines(path / "samples.jsonl"))
        assert [line["correct"] for line in lines] == ["+" in line["text"] for line in lines]
        assert {line["correct"] for line in lines} == {True, False}


def test_reasoning_gym_with_a_base_that_solves_nothing(in_process):  # noqa: F811
    """It is said before anything is trained, in training, and in the report."""
    pytest.importorskip("reasoning_gym")
    task = "{name: reasoning-gym/gcd, max_value: 60}"
    extra = 'prompt_template: "{problem}"\nprompt_form: plain\n'
    result, report = run(in_process, "countdown-base", task, ", max_new_tokens: 8", extra=extra)
    require_measured(in_process, report, "reasoning-gym-gcd", {"temperature": 1.0, "max_new_tokens": 8})
    warning = "EVERY answer ended in no_answer"
    assert f"WARNING. The base: {warning}" in result.stderr
    assert result.stderr.index(warning) < result.stderr.index("GRPO, seed 0")
    assert "training has nothing to learn from" in (in_process / "runs/mine/arms/GRPO/seed-0/log.txt").read_text()
    (said,) = [sentence for sentence in report["verdict"] if warning in sentence]
    assert "the base" in said.partition(" on reasoning-gym-gcd: ")[0]


def test_a_mathematics_experiment_is_sampled_as_the_benchmark_is(in_process):  # noqa: F811
    """Temperature 0.6, top_p 0.95, top_k 20, which the arms' training does not have, and the task's own grader."""
    problems = [{"problem": f"{n},{n + 1},2:{n + 3}>", "answer": str(n)} for n in range(1, 41)]
    for name, rows in (("train", problems[:32]), ("test", problems[32:36])):
        (in_process / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    extra = 'dataset_name: train.jsonl\nprompt_template: "{problem}"\nprompt_form: plain\n'
    _, report = run(in_process, "countdown-base", "mathematics", ", benchmark: test.jsonl", extra=extra)
    require_measured(
        in_process, report, "test", {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "max_new_tokens": 4096}
    )
    lines = [line for path in evaluations(in_process) for line in read_json_lines(path / "samples.jsonl")]
    assert {line["reason"] for line in lines} == {"no_answer"}  # the countdown base knows no box
    assert max(line["tokens"] for line in lines) < 4096


def test_a_corrected_reward_keeps_the_bases_answers(in_process):  # noqa: F811
    """Until a run is finished the reward may be another: the base's answers are graded again, and not drawn again."""
    (in_process / "my_letters.py").write_text(LETTERS)
    rewards = in_process / "my_rewards_of_letters.py"
    (in_process / "mine.yaml").write_text(
        EXPERIMENT.format(base="countdown-base", task="my_letters.py", evaluation="", samples=4, training=TINY_SECTION)
        + "reward_funcs: [my_rewards_of_letters.sums]\n"
    )

    def result_with(sign: str, wrong: bool):
        rewards.write_text(REWARDS.format(sign=sign, wrong=wrong))
        for module in ("my_rewards_of_letters", "my_letters"):  # each command is a process of its own for a user
            sys.modules.pop(module, None)
        return command("run", "mine.yaml")

    result = result_with("*", wrong=True)
    assert result.exit_code == 1
    assert "2 of 3 jobs failed" in result.stderr
    assert "TypeError: 'TrainerState' object is not subscriptable" in result.stderr
    (base,) = evaluations(in_process)
    before = list(read_json_lines(base / "samples.jsonl"))
    assert [line["correct"] for line in before] == ["*" in line["text"] for line in before]

    result = result_with("+", wrong=False)
    assert result.exception is None, result.output
    assert "the grading code has changed, and answers are graded again." in result.stderr
    assert "16 answers are graded again" in (in_process / "runs/mine/base/log.txt").read_text()
    after = list(read_json_lines(base / "samples.jsonl"))
    assert [line["text"] for line in after] == [line["text"] for line in before]
    assert [line["correct"] for line in after] == ["+" in line["text"] for line in after]
    assert [line["correct"] for line in after] != [line["correct"] for line in before]
    assert len(evaluations(in_process)) == 3

    again = result_with("+", wrong=False)  # nothing is left to do
    assert "graded again" not in again.stderr

    result = result_with("-", wrong=False)
    assert "finished runs were rewarded by what it was before" in result.stderr
    for path in evaluations(in_process):
        lines = list(read_json_lines(path / "samples.jsonl"))
        assert [line["correct"] for line in lines] == ["-" in line["text"] for line in lines]

    yaml = in_process / "mine.yaml"
    yaml.write_text(yaml.read_text().replace(".sums", ":sums"))
    refused = command("run", "mine.yaml")
    assert isinstance(refused.exception, UserError)
    assert "reward_funcs was" in str(refused.exception)
