"""One object is the task, found by one function; nothing outside `tasks` knows a task by name."""

import ast
import json
import math
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import abcgrpo
from abcgrpo.errors import UserError
from abcgrpo.tasks import BASES, SamplingDefaults, Task, TrainingData, get_rewards, get_task, resolve_model, spec_text
from abcgrpo.tasks.benchmarks import load_benchmark, names
from abcgrpo.tasks.parquet import graded_row, verl_rows
from abcgrpo.tasks.registry import TASKS

PACKAGE = Path(abcgrpo.__file__).parent

ROWS = [{"question": f"How many letters has {'x' * n}?", "letters": n, "hint": {"kind": "count"}} for n in range(1, 9)]

MINE = """
train_dataset = "train.jsonl"
eval_dataset = "test.jsonl"
prompt_template = "{problem} Answer:"
prompt_form = "plain"
sampling = {"max_new_tokens": 7}

def grade(text, row):
    assert row["hint"] == {"kind": "count"}
    return 1 - abs(int(text) - row["letters"]) / 10
"""

TRL = """
def score(completions, letters, **columns):
    return [float(str(n) in c) for c, n in zip(completions, letters)]

class Mine:
    train_dataset = [{"prompt": "How many letters has x?", "letters": 1}]
    reward_funcs = [score]
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A directory with a user's files, which is the current one."""
    monkeypatch.chdir(tmp_path)
    for name, rows in (("train", ROWS[:5]), ("test", ROWS[5:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def write_module(directory: Path, content: str) -> str:
    """A module of a name that no other test has."""
    name = f"my_task_{directory.name}"
    (directory / f"{name}.py").write_text(content)
    return name


def test_no_module_outside_tasks_contains_a_tasks_name():
    """In any form; of a name that is a word of English too, as a text of its own."""
    words = {"mathematics"}
    names = re.compile(rf"\b(?:{'|'.join(re.escape(name) for name in [*TASKS, *BASES] if name not in words)})\b")
    texts = {path: path.read_text() for path in PACKAGE.rglob("*.py") if PACKAGE / "tasks" not in path.parents}
    assert len(texts) > 50
    assert not [f"{path}: {found[0]}" for path, text in texts.items() if (found := names.search(text.lower()))]
    constants = {
        node.value for text in texts.values() for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)
    }
    assert not constants & {*TASKS, *BASES}
    assert names.search((PACKAGE / "tasks" / "registry.py").read_text())  # a search that finds what is there


def test_a_known_name_is_one_object_everywhere():
    for name in TASKS:
        task = get_task(name)
        assert task is get_task({"name": name}) is get_task(task)
        assert (task.name, task.found_by) == (name, name)
        if name in names():
            benchmark = load_benchmark(name, questions=3)
            assert benchmark.task is task
            rows = task.training_rows(TrainingData(20))
            assert not {row["problem"] for row in rows} & {row["problem"] for row in benchmark.rows}
            (row, *_) = verl_rows(rows, task.template, task)
            found, columns = graded_row("x", row["reward_model"]["ground_truth"], row["extra_info"]["task"])
            assert found is task
            assert columns == task.truth_columns(rows[0])


def test_the_bases_have_names():
    assert "countdown-base" in BASES
    for name, directory in BASES.items():
        assert resolve_model(name) == str(directory)
        assert sum(path.stat().st_size for path in directory.iterdir()) < 2_100_000


def test_a_file_with_a_grade(own):
    name = write_module(own, MINE)
    task = get_task(f"{name}.py")
    assert task.name == name
    assert task.sampling == SamplingDefaults(max_new_tokens=7)
    rows = task.training_rows(TrainingData())
    assert rows[0] == {"problem": "How many letters has x?", "question": "How many letters has x?", "letters": 1,
                       "hint": {"kind": "count"}}  # fmt: skip
    assert task.template.render(rows[0]["problem"]) == "How many letters has x? Answer:"
    good, near, bad = task.grade(["1", "2", "?"], [rows[0]] * 3)
    assert (good.correct, good.score, near.correct, near.score) == (True, 1.0, False, 0.9)
    assert (bad.correct, bad.reason, bad.reward) == (False, "failed", None)
    columns = {key: [row[key] for row in rows[:3]] for key in rows[0]}
    assert task.reward(prompts=["?"] * 3, completions=["1", "3", "no"], **columns) == [1.0, 0.9, None]
    benchmark = load_benchmark(f"{name}.py")
    assert [row["letters"] for row in benchmark.rows] == [6, 7, 8]
    assert load_benchmark("test.jsonl", task=task).rows == benchmark.rows
    # from another directory, as a worker's process may be in
    assert get_task(task.found_by).grade(["1"], [rows[0]])[0].correct


def test_a_grade_that_fails_on_everything_is_a_mistake(own):
    name = write_module(own, "def grade(text, row):\n    return row['nowhere']\n")
    task = get_task(f"{name}.py")
    with pytest.raises(UserError, match=r"(?s)grade of .* failed on all of 2 answers.*KeyError: 'nowhere'"):
        task.grade(["a", "b"], [ROWS[0]] * 2)


def test_trls_convention(own):
    name = write_module(own, TRL)
    task = get_task(f"{name}:Mine")
    assert task.training_rows(TrainingData())[0]["letters"] == 1
    assert task.rewards[0].__name__ == "score"
    verdicts = task.grade(["it has 1", "2"], [{"problem": "?", "prompt": "?", "letters": 1}] * 2)
    assert [verdict.correct for verdict in verdicts] == [True, False]


def test_rewards_of_ones_own_grade_in_evaluation_too():
    seen = []

    def short(prompts, completions, answer, **columns):
        seen.append((prompts, completions, answer))
        return [1.0 if len(each[-1]["content"]) < 5 else 0.0 for each in completions]

    task = get_task("mathematics").rewarded_by([short])
    assert task.rewards == [short]
    prompt = [{"role": "user", "content": "?"}]
    verdicts = task.grade(["ab", "abcdef"], [{"problem": "?", "prompt": prompt, "answer": 3}] * 2)
    assert [verdict.correct for verdict in verdicts] == [True, False]
    assert seen == [([prompt] * 2, [[{"role": "assistant", "content": text}] for text in ("ab", "abcdef")], [3, 3])]


def test_a_reward_is_named_with_a_point_or_a_colon():
    assert get_rewards(["math.prod"]) == get_rewards(["math:prod"]) == [math.prod]


def test_what_grades_is_known_by_its_code_and_not_by_its_layout(own):
    name = write_module(own, "def grade(text, row):\n    return True\n")
    found = {"first": get_task(f"{name}.py").graded_with}
    contents = {
        "a comment": "# Mine.\ndef grade(text, row):\n\n    return True  # always\n",
        "another constant": "def grade(text, row):\n    return False\n",
        "a helper beside it": "LIMIT = 3\ndef grade(text, row):\n    return True\n",
    }
    for what, content in contents.items():
        (own / f"{name}.py").write_text(content)
        sys.modules.pop(name)
        found[what] = get_task(f"{name}.py").graded_with
    assert found["a comment"] == found["first"]
    assert len({*found.values()}) == 3
    countdown = get_task("countdown")
    assert countdown.graded_with == "countdown"
    assert countdown.rewarded_by([math.prod]).graded_with != countdown.rewarded_by([math.fsum]).graded_with


def test_an_asynchronous_reward():
    async def good(completions, **columns):
        return [2.0 for _ in completions]

    (verdict,) = get_task("countdown").rewarded_by([good]).grade(["x"], [{"problem": "?"}])
    assert verdict.correct
    assert verdict.reward == 2.0


@given(st.dictionaries(st.sampled_from(["problem", "a", "b"]), st.text() | st.integers() | st.none(), min_size=1))
def test_a_truth_comes_back(columns):
    task = Task("t", get_task("countdown").template, lambda data: [], lambda texts, rows: [])
    assert task.row_of_truth(task.truth(columns)) == columns


def test_specifications_are_text_that_is_understood_again():
    assert spec_text("countdown") == spec_text({"name": "countdown"}) == "countdown"
    assert spec_text({"name": "a/b", "x": [1]}) == '{"name": "a/b", "x": [1]}'
    assert get_task('{"name": "countdown"}') is get_task("countdown")


MISTAKES = {
    "a name that nothing has": ("countdwon", "Did you mean 'countdown'"),
    "a parameter that nothing takes": ({"name": "countdown", "size": 3}, "takes no parameters, got size"),
    "no name": ({"size": 3}, "a mapping with a `name`"),
    "a file that is not there": ("nowhere.py", "does not exist"),
    "a module that is not there": ("nowhere.at_all", "cannot be imported: ModuleNotFoundError"),
    "a function of no use": ("json.dumps", "cannot be made"),
}


@pytest.mark.parametrize(("given", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_paragraphs(given, message):
    with pytest.raises(UserError, match=message):
        get_task(given)


OWN_MISTAKES = {
    "an error of its own": ("1 / 0", "cannot be imported: ZeroDivisionError"),
    "nothing in it": ("x = 1", "neither grade nor reward_funcs"),
    "an environment": ("environment_factory = print\ngrade = print", "several turns cannot be trained on"),
    "another option of sampling": ("sampling = {'temprature': 1}\ndef grade(text, row): return 1", "'temperature'"),
    "rewards that are none": ("reward_funcs = ['score']", "should be functions"),
}


@pytest.mark.parametrize(("content", "message"), OWN_MISTAKES.values(), ids=OWN_MISTAKES)
def test_a_file_that_is_no_task(own, content, message):
    name = write_module(own, content)
    with pytest.raises(UserError, match=message):
        get_task(f"{name}.py")


ROW_MISTAKES = {
    "types that differ": ([{"problem": "a", "x": 1}, {"problem": "b", "x": "1"}], "different types"),
    "a problem twice": ([{"problem": "a"}, {"problem": "a"}], "row 1: the problem repeats row 0"),
    "a blank problem": ([{"problem": " "}], "row 0: the problem should be text"),
    "no problem": ([{"text": "a"}], "no column holds the problem"),
    "nothing": ([], "holds no problems"),
}


@pytest.mark.parametrize(("rows", "message"), ROW_MISTAKES.values(), ids=ROW_MISTAKES)
def test_rows_that_cannot_be_used(own, rows, message):
    name = write_module(own, "def grade(text, row):\n    return True\n")
    (own / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=message):
        get_task(f"{name}.py").training_rows(TrainingData(dataset_name="bad.jsonl"))


def test_conversations_keep_their_turns():
    template = get_task("mathematics").template.changed("Solve: {problem}")
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "2+2?"},
    ]
    assert template.render(turns) == [*turns[:3], {"role": "user", "content": "Solve: 2+2?"}]
    with pytest.raises(UserError, match="needs the prompt form `chat`"):
        template.changed(form="plain").render(turns)
    with pytest.raises(UserError, match="should end with a user's message"):
        template.render(turns[:3])
