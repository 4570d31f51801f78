"""What verl reads: written, read back by two libraries, and graded by what was read."""

import json
import sys

import pyarrow.parquet
import pytest
from datasets import load_dataset

from abcgrpo.cli import main
from abcgrpo.errors import UserError
from abcgrpo.tasks import TrainingData, get_task
from abcgrpo.tasks.benchmarks import load_benchmark
from abcgrpo.tasks.parquet import graded_row, verl_rows, write_parquet

SOLVED = [
    {"problem": "What is $1+1$?", "answer": 2},
    {"problem": "What is $\\frac{1}{2}+1$?", "answer": "\\frac{3}{2}"},
    {"problem": "Wie viel ist ½ · 2?", "answer": 1.0},
]


def export(*arguments) -> None:
    sys.argv = ["abcgrpo", "export", *map(str, arguments)]
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0


@pytest.fixture(autouse=True)
def arguments_of_the_test(monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)


def test_countdown_comes_back_as_it_was(tmp_path, capsys):
    path = tmp_path / "made" / "train.parquet"
    export(path, "--task", "countdown", "--problems", 50, "--seed", 3)
    assert "50 problems of countdown" in capsys.readouterr().out
    task = get_task("countdown")
    expected = task.training_rows(TrainingData(50, 3))
    rows = pyarrow.parquet.read_table(path).to_pylist()
    assert len(rows) == 50
    for index, (row, problem) in enumerate(zip(rows, expected, strict=True)):
        assert row.keys() == {"data_source", "prompt", "reward_model", "extra_info"}
        assert row["prompt"] == [{"role": "user", "content": problem["problem"]}]
        assert row["extra_info"]["index"] == index
        found, columns = graded_row(row["data_source"], row["reward_model"]["ground_truth"], row["extra_info"]["task"])
        assert found is task
        assert columns == {"numbers": problem["numbers"], "target": problem["target"]}


def test_mathematics_has_the_papers_prompt_and_its_answer_grades(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in SOLVED))
    export(tmp_path / "train.parquet", "--task", "mathematics", "--dataset", path)
    rows = load_dataset("parquet", data_files=str(tmp_path / "train.parquet"), cache_dir=tmp_path / "cache")["train"]
    text = r"Please reason step by step, and put your final answer within \boxed{}. What is $1+1$?"
    assert rows[0]["prompt"] == [{"role": "user", "content": text}]
    assert [row["reward_model"]["ground_truth"] for row in rows] == ["2", "\\frac{3}{2}", "1.0"]
    for row, answer in zip(rows, ("2", "1.5", "1"), strict=True):
        task, columns = graded_row(row["data_source"], row["reward_model"]["ground_truth"], row["extra_info"]["task"])
        right, wrong = task.grade([f"\\boxed{{{answer}}}", "\\boxed{7}"], [columns, columns])
        assert right.correct
        assert not wrong.correct


def test_tasks_share_one_schema(tmp_path):
    """verl joins its files into one table."""
    schemas = []
    for task, rows in (("countdown", get_task("countdown").training_rows(TrainingData(2))), ("mathematics", SOLVED)):
        write_parquet(verl_rows(rows, get_task(task).template, get_task(task)), tmp_path / f"{task}.parquet")
        schemas.append(pyarrow.parquet.read_schema(tmp_path / f"{task}.parquet"))
    assert schemas[0].equals(schemas[1])


def test_a_benchmark_keeps_its_name_and_its_problems(tmp_path):
    export(tmp_path / "test.parquet", "--benchmark", "countdown", "--problems", 5)
    rows = pyarrow.parquet.read_table(tmp_path / "test.parquet").to_pylist()
    assert {row["data_source"] for row in rows} == {"countdown"}
    expected = load_benchmark("countdown", questions=5).rows
    assert [row["prompt"][0]["content"] for row in rows] == [row["problem"] for row in expected]


def test_a_template_of_ones_own(tmp_path):
    export(tmp_path / "a.parquet", "--task", "countdown", "--problems", 1, "--prompt-template", "Solve {problem}")
    (row,) = pyarrow.parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert row["prompt"][0]["content"].startswith("Solve ")


MISTAKES = {
    "neither": ((), "Give either --task"),
    "both": (("--task", "countdown", "--benchmark", "countdown"), "Give either --task"),
    "a data set beside a benchmark": (("--benchmark", "countdown", "--dataset", "a.jsonl"), "--dataset has no effect"),
    "a seed beside a benchmark": (("--benchmark", "countdown", "--seed", "0"), "--seed has no effect"),
    "copies beside a task": (("--task", "countdown", "--data", "."), "--data has no effect"),
    "a data set that is generated": (("--task", "countdown", "--dataset", "a.jsonl"), "has no effect with task"),
    "a task that nobody has": (("--task", "countdwn"), "Did you mean 'countdown'"),
}


@pytest.mark.parametrize(("options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_writes_nothing(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.setattr(sys, "argv", ["abcgrpo", "export", str(tmp_path / "out.parquet"), *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"should end in \.parquet"):
        write_parquet([], tmp_path / "rows.json")


@pytest.mark.parametrize(("truth", "message"), [('{"numbers": [1]}', "target is missing"), ("24", "JSON object")])
def test_a_ground_truth_of_countdown_that_is_none(truth, message):
    with pytest.raises(ValueError, match=message):
        graded_row("countdown", truth)
