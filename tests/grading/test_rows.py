import pytest

from abcgrpo.grading.rows import RowChecker, check_rows, require_rows


def row(problem="What is 1+1?", answer: object = "2") -> dict:
    return {"problem": problem, "answer": answer}


@pytest.mark.parametrize("answer", ["2", 2, 2.0, r"\frac{1}{2}", r"\sqrt{2}", "(1,2)", r"\text{east}", "B", "x^2+1"])
def test_good_rows(answer):
    assert check_rows([row(answer=answer), row("And 2+2?", 4)]) == []


@pytest.mark.parametrize(
    ("bad", "finding"),
    [
        ({"answer": "2"}, "'problem' must be a string or a conversation, got NoneType"),
        (row(problem=3), "got int"),
        (row(problem=" \n"), "'problem' is empty"),
        (row(problem="x" * 20_001), "has 20001 characters, more than 20000"),
        (row("What  is 1+1?"), "repeats row 0"),
        ({"problem": "?"}, "'answer' is not an answer: 'None' (NoneType)"),
        (row("?", ""), "is not an answer"),
        (row("?", True), "is not an answer"),
        (row("?", float("nan")), "is not an answer"),
        (row("?", "{1"), "is not an answer"),
        (row("?", r"\frac{@}{}"), "cannot be parsed"),
    ],
)
def test_bad_rows(bad: dict, finding: str):
    findings = check_rows([row(), bad])
    assert len(findings) == 1
    assert findings[0].startswith("row 1: ")
    assert finding in findings[0]


def test_conversations_and_other_columns():
    rows = [{"prompt": [{"role": "user", "content": "1+1?"}], "solution": 2}]
    assert check_rows(rows, RowChecker("prompt", "solution")) == []


def test_loaders_raise():
    require_rows([row()], "good.jsonl")
    with pytest.raises(ValueError, match=r"bad.jsonl: 12 rows[\s\S]*and 2 more"):
        require_rows([row(f"{n}?", "") for n in range(12)], "bad.jsonl")
