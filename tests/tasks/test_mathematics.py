"""Problems by name, by path and from the hub: what is checked when they are loaded, and how they are put to a model."""

import json
from collections import Counter
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from abcgrpo.errors import UserError
from abcgrpo.tasks import TrainingData, get_task, sources, with_prompts
from abcgrpo.tasks import benchmarks as module
from abcgrpo.tasks.benchmarks import KNOWN, Known, content_hash, load_benchmark, load_benchmarks
from abcgrpo.tasks.prompts import PromptTemplate
from abcgrpo.tasks.sources import HubDataset, read_file, with_problem_and_answer

COPIES = Path(__file__).parents[2].parent / "shared" / "data" / "benchmarks"
with_copies = pytest.mark.skipif(not COPIES.is_dir(), reason=f"the benchmarks' problems are not at {COPIES}")

ROWS = [{"problem": "What is $1+1$?", "answer": 2}, {"problem": "What is $\\frac{1}{2}+1$?", "answer": "\\frac{3}{2}"}]


def written(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([r | {"answer": str(r["answer"])} for r in rows]), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def small(monkeypatch):
    """A benchmark of two problems, known as `small`."""
    monkeypatch.setitem(KNOWN, "small", Known(HubDataset("somebody/small"), 2, content_hash(ROWS)))


@with_copies
@pytest.mark.parametrize(("name", "problems"), [("aime24", 30), ("aime25", 30), ("amc23", 40), ("hmmt202502", 30)])
def test_copies_on_disk_are_what_is_known(name, problems):
    benchmark = load_benchmark(name, COPIES)
    assert len(benchmark.rows) == problems == len(set(benchmark.ids))
    assert benchmark.task.name == "mathematics"
    golds = [row["answer"] for row in benchmark.rows]
    verdicts = benchmark.task.grade([f"So it is $\\boxed{{{gold}}}$." for gold in golds], benchmark.rows)
    assert all(verdict.correct for verdict in verdicts)


@with_copies
@pytest.mark.parametrize(
    ("name", "contests"),
    [
        ("aime24", {"2024_AIME_I": 15, "2024_AIME_II": 15}),
        ("aime25", {"2025_AIME_I": 15, "2025_AIME_II": 15}),
        ("amc23", {"2023_AMC_12A": 22, "2023_AMC_12B": 18}),
        ("hmmt202502", {None: 30}),
    ],
)
def test_the_contests_of_a_benchmark_are_its_clusters(name, contests):
    assert Counter(row.get("cluster") for row in load_benchmark(name, COPIES).rows) == contests


@with_copies
def test_contests_that_cannot_be_told_are_no_clusters(tmp_path):
    """A copy without an `id` has none, and a `cluster` of its own is kept."""
    rows = list(with_problem_and_answer(read_file(COPIES / "aime25" / "test.jsonl"), "aime25"))
    bare = [{"problem": row["problem"], "answer": row["answer"]} for row in rows]
    written(tmp_path / "bare" / "aime25.jsonl", bare)
    assert not any("cluster" in row for row in load_benchmark("aime25", tmp_path / "bare").rows)
    written(tmp_path / "own" / "aime25.jsonl", [row | {"cluster": "c"} for row in rows])
    assert {row["cluster"] for row in load_benchmark("aime25", tmp_path / "own").rows} == {"c"}


@with_copies
@pytest.mark.parametrize("change", ["a gold", "a problem", "a row less", "a row twice"])
def test_a_copy_that_differs_is_refused(tmp_path, change):
    rows = list(with_problem_and_answer(read_file(COPIES / "aime25" / "test.jsonl"), "aime25"))
    if change == "a gold":
        rows[7]["answer"] += 1
    elif change == "a problem":
        rows[7]["problem"] = rows[7]["problem"].replace("a", "b", 1)
    elif change == "a row less":
        rows.pop()
    else:
        rows[1] = rows[0]
    written(tmp_path / "aime25" / "test.jsonl", rows)
    with pytest.raises(UserError, match=r"not the problems|has 30 problems, and here are 29|repeats row 0"):
        load_benchmark("aime25", tmp_path)


def test_the_content_hash_sees_problems_and_golds_and_nothing_else():
    known = content_hash(ROWS)
    same = [
        {"answer": r"\frac{3}{2}", "problem": "  What is $ \\frac{1}{2} + 1 $?", "id": 3},
        {"problem": "What is 1+1?", "answer": "2.0"},
    ]
    assert content_hash(same) == known
    for row in ({"problem": "What is $1+2$?", "answer": 2}, {"problem": "What is $1+1$?", "answer": 3}):
        assert content_hash([row, ROWS[1]]) != known
    assert content_hash([ROWS[0] | {"answer": ROWS[1]["answer"]}, ROWS[1] | {"answer": 2}]) != known
    assert content_hash(ROWS[:1]) != known


@pytest.mark.parametrize("name", ["small/test.jsonl", "small.jsonl", "small/test.parquet", "small.parquet"])
def test_a_directory_of_copies(tmp_path, small, name):
    written(tmp_path / name, ROWS)
    benchmark = load_benchmark("small", tmp_path)
    assert [row["problem"] for row in benchmark.rows] == [row["problem"] for row in ROWS]
    assert benchmark.source == str(tmp_path / name)
    assert len(load_benchmark("small", tmp_path, questions=1).rows) == 1
    with pytest.raises(UserError, match="has 2 problems, not 3"):
        load_benchmark("small", tmp_path, questions=3)


def test_a_directory_without_a_copy_does_not_fall_back_to_the_hub(tmp_path, small):
    with pytest.raises(UserError, match="no copy of small"):
        load_benchmark("small", tmp_path)
    with pytest.raises(UserError, match="have no effect"):
        load_benchmarks(["countdown"], tmp_path)


def test_from_the_hub(small, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "read_hub", lambda dataset: asked.append(dataset) or ROWS)
    assert len(load_benchmark("small").rows) == 2
    assert asked == [HubDataset("somebody/small", "train")]
    monkeypatch.setattr(module, "read_hub", lambda dataset: ROWS[:1])
    with pytest.raises(UserError, match="has 2 problems, and here are 1"):
        load_benchmark("small")


def test_a_hub_that_cannot_be_reached_is_a_paragraph():
    with pytest.raises(UserError, match="'nobody/nothing' cannot be loaded from the hub"):
        sources.read_hub(HubDataset("nobody/nothing"))


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_file_by_its_path(tmp_path, suffix):
    path = written(tmp_path / f"mine.{suffix}", [{"question": r["problem"], "answer": r["answer"]} for r in ROWS])
    benchmark = load_benchmark(str(path))
    assert benchmark.name == "mine"
    assert [row["problem"] for row in benchmark.rows] == [row["problem"] for row in ROWS]
    with pytest.raises(UserError, match=r"Two benchmarks have the same name \(mine\)"):
        load_benchmarks([str(path), str(path)])


MISTAKES = {
    "no such file": (None, "does not exist"),
    "nothing in it": ([], "holds no problems"),
    "no column of answers": ([{"problem": "?"}], "no column holds the answer"),
    "a gold that is empty": ([{"problem": "?", "answer": " "}], "'answer' is not an answer"),
    "a gold that is no mathematics": ([{"problem": "?", "answer": "\\frac{1}{"}], "'answer' is not an answer"),
    "a problem twice": ([ROWS[0], ROWS[0]], "repeats row 0"),
    "twice but for braces": ([ROWS[0], ROWS[0] | {"problem": "What is {1+1}?"}], "differ only in"),
}


@pytest.mark.parametrize(("rows", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_file_that_cannot_be_used(tmp_path, rows, message):
    path = tmp_path / "bad.jsonl"
    if rows is not None:
        written(path, rows)
    with pytest.raises(UserError, match=message):
        load_benchmark(str(path))


def test_a_line_that_is_not_json(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"problem": 1,\n')
    with pytest.raises(UserError, match="line 1, is not valid JSON"):
        load_benchmark(str(tmp_path / "bad.jsonl"))


def test_a_file_is_not_reported_as_a_benchmark_that_it_was_not_checked_to_be(tmp_path):
    with pytest.raises(UserError, match="without being checked"):
        load_benchmark(str(written(tmp_path / "aime24.jsonl", ROWS)))


def test_copies_named_by_the_environment(tmp_path, small, monkeypatch):
    written(tmp_path / "small.jsonl", ROWS)
    monkeypatch.setenv("ABCGRPO_DATA", str(tmp_path))
    assert load_benchmark("small").source == str(tmp_path / "small.jsonl")
    assert load_benchmarks(["countdown"])[0].source == "held back by countdown"


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'aime24'"):
        load_benchmark("aime2024")


def test_the_papers_prompt():
    row, _ = with_prompts(ROWS, get_task("mathematics").template)
    text = r"Please reason step by step, and put your final answer within \boxed{}. What is $1+1$?"
    assert row["prompt"] == [{"role": "user", "content": text}]
    assert get_task("countdown").template.render("1,2:3>") == "1,2:3>"


def test_a_template_of_ones_own():
    template = get_task("mathematics").template.changed("Q: {problem}\nA:", "plain")
    assert template.render("{problem}?") == "Q: {problem}?\nA:"
    for text in ("no place", "{problem} {problem}"):
        with pytest.raises(UserError, match="exactly once"):
            PromptTemplate(text)
    with pytest.raises(UserError, match="Did you mean 'plain'"):
        template.changed(form="plan")


def test_training_rows_from_a_file(tmp_path):
    path = written(tmp_path / "train.jsonl", [{"prompt": f"{n}+1?", "solution": str(n + 1)} for n in range(20)])
    task = get_task("mathematics")
    rows = task.training_rows(TrainingData(dataset_name=str(path)))
    assert rows[3] == {"problem": "3+1?", "answer": "4", "prompt": "3+1?", "solution": "4"}
    assert len(rows) == 20
    drawn = task.training_rows(TrainingData(5, 1, str(path)))
    assert len(drawn) == 5
    assert (
        drawn == task.training_rows(TrainingData(5, 1, str(path))) != task.training_rows(TrainingData(5, 2, str(path)))
    )
    assert task.reward(completions=[r"\boxed{4}", r"\boxed{5}"], answer=["4", "4"]) == [1.0, 0.0]
    with pytest.raises(UserError, match="has 20 usable problems"):
        task.training_rows(TrainingData(21, 0, str(path)))
    with pytest.raises(UserError, match="dataset_config='en' has no effect"):
        task.training_rows(TrainingData(dataset_name=str(path), dataset_config="en"))


def test_training_rows_from_the_hub(monkeypatch):
    asked = []
    monkeypatch.setattr("abcgrpo.tasks.mathematics.read_hub", lambda dataset: asked.append(dataset) or ROWS)
    data = TrainingData(dataset_name="open-r1/DAPO-Math-17k-Processed", dataset_config="en")
    assert len(get_task("mathematics").training_rows(data)) == 2
    assert asked == [HubDataset("open-r1/DAPO-Math-17k-Processed", "train", "en")]


def dapo(problem: str, answer: str, name: str = "") -> dict:
    """A row of DAPO-Math-17k in its first form."""
    text = (
        "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
        f"$Answer (without quotes) where $Answer is the answer to the problem.\n\n{problem}\n\nRemember to put your "
        'answer on its own line after "Answer:".'
    )
    return {
        "data_source": "math_dapo",
        "prompt": [{"content": text, "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": answer, "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": name},
    }


def processed(problem: str, answer: str) -> dict:
    """A row of DAPO-Math-17k as processed by Open-R1."""
    first = dapo(problem, answer)
    renamed = {"prompt": problem, "solution": answer, "source_prompt": first.pop("prompt")}
    return renamed | first


LONG = "Let $x$ be such that\n\n$x + 1 = 2$.\n\nFind $x$."


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_both_forms_of_dapo_math_give_the_same_rows_once(tmp_path, suffix, caplog):
    problems = [("What is $1+1$?", "2"), (LONG, "1"), ("求 $2+3$ 的值。", "5")]
    forms = {
        "first": [dapo(*row, name=str(copy)) for copy in range(3) for row in problems],
        "processed": [processed(*row) for row in problems],
    }
    found = {}
    for form, rows in forms.items():
        path = tmp_path / f"{form}.{suffix}"
        if suffix == "parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        found[form] = get_task("mathematics").training_rows(TrainingData(dataset_name=str(path)))
    for rows in found.values():
        assert [(row["problem"], row["answer"]) for row in rows] == problems
    assert found["first"][0]["extra_info"] == {"index": "0"}  # other columns stay
    assert "6 of 9 rows repeat an earlier one" in caplog.text
    assert caplog.text.count("repeat") == 1


CONVERSATIONS = {
    "another speaker": ([{"role": "assistant", "content": "1+1?"}], "should end with a user's text"),
    "another instruction": ([{"role": "user", "content": "Say Answer: $Answer for 1+1."}], "cannot be separated from"),
}


@pytest.mark.parametrize(("prompt", "message"), CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_conversation_that_holds_more_than_a_problem_is_refused(tmp_path, prompt, message):
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"prompt": prompt, "answer": "2"}) + "\n")
    with pytest.raises(UserError, match=message):
        get_task("mathematics").training_rows(TrainingData(dataset_name=str(path)))


def test_a_conversation_of_several_messages_stays_one(tmp_path):
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}]
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"prompt": prompt, "answer": "2"}) + "\n")
    task = get_task("mathematics")
    (row,) = with_prompts(task.training_rows(TrainingData(dataset_name=str(path))), task.template)
    assert row["prompt"][0] == prompt[0]
    assert row["prompt"][1]["content"].endswith("within \\boxed{}. 1+1?")
    assert load_benchmark(str(path)).rows[0]["problem"] == prompt


@pytest.mark.parametrize(
    ("written_answer", "expected"),
    [("2 * 3 = <<2*3=6>>6\nso\n#### 6", "6"), ("#### 1,000 ", "1,000"), ("a #### 3", "a #### 3"), (7, 7)],
)
def test_the_answers_of_gsm8k(tmp_path, written_answer, expected):
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"question": "?!", "answer": written_answer}) + "\n")
    (row,) = with_problem_and_answer(read_file(path), "it")
    assert (row["problem"], row["answer"]) == ("?!", expected)


def test_a_problem_with_two_answers_is_refused(tmp_path):
    path = written(tmp_path / "train.jsonl", [ROWS[0], ROWS[0] | {"answer": 3}])
    with pytest.raises(UserError, match="repeats row 0"):
        get_task("mathematics").training_rows(TrainingData(dataset_name=str(path)))


def test_unusable_rows_are_refused_or_left_out_with_a_warning(tmp_path, caplog):
    path = written(tmp_path / "train.jsonl", [*ROWS, ROWS[0], {"problem": "?", "answer": ""}])
    task = get_task("mathematics")
    with pytest.raises(UserError, match="row 3: 'answer' is not an answer") as refused:
        task.training_rows(TrainingData(dataset_name=str(path)))
    assert "skip_unusable_rows" in str(refused.value)
    kept = task.training_rows(TrainingData(dataset_name=str(path), skip_unusable_rows=True))
    assert [row["problem"] for row in kept] == [row["problem"] for row in ROWS]
    assert "1 of 4 rows repeat an earlier one" in caplog.text
    assert "1 of 3 rows cannot be used and are left out: rows 3" in caplog.text


def test_options_of_a_data_set_are_an_error_where_they_would_be_ignored():
    with pytest.raises(UserError, match="needs dataset_name"):
        get_task("mathematics").training_rows(TrainingData())
    with pytest.raises(UserError, match="dataset_name has no effect with task countdown"):
        get_task("countdown").training_rows(TrainingData(dataset_name="some/data"))
    with pytest.raises(UserError, match="skip_unusable_rows has no effect with task countdown"):
        get_task("countdown").training_rows(TrainingData(skip_unusable_rows=True))
