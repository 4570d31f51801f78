import json
from pathlib import Path

import pytest

from abcgrpo.grading import grade_file

ROWS = [
    {"gold": "42", "response": r"\boxed{42}", "id": 1},
    {"gold": 27.0, "response": r"\boxed{27}"},
    {"gold": r"1-\frac{2}{\pi}", "response": r"\boxed{\frac{\pi-2}{\pi}}"},
    {"gold": "42", "response": "\\boxed{4\x002} \x00"},
    {"gold": "42", "response": "\\boxed{\ud800} \udfff \u2028 \x85 \n"},
    {"gold": "\ud800", "response": "\\boxed{\ud800}"},
    {"gold": "", "response": r"\boxed{42}"},
    {"gold": "42", "response": "42", "answer": "overwritten"},
]


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("progress", [True, False])
def test_one_line_out_for_each_line_in(tmp_path: Path, progress: bool):
    output = tmp_path / "new" / "out.jsonl"
    reasons = grade_file(write(tmp_path / "in.jsonl", ROWS), output, show_progress=progress)
    graded = [json.loads(line) for line in output.read_bytes().splitlines()]
    assert [row["reason"] for row in graded] == [
        "exact", "exact", "equivalent", "different", "different", "unparsable_gold", "unparsable_gold", "no_answer"
    ]  # fmt: skip
    assert [row["correct"] for row in graded] == [True, True, True, False, False, None, None, False]
    assert [row["response"] for row in graded] == [row["response"] for row in ROWS]
    assert graded[3]["answer"] == "4\x002"
    assert graded[4]["answer"] == "\ud800"
    assert graded[7]["answer"] is None
    assert graded[0]["id"] == 1
    assert sum(reasons.values()) == len(ROWS)
    assert [path.name for path in output.parent.iterdir()] == ["out.jsonl"]


def test_raw_surrogates_and_line_separators_in_the_file(tmp_path: Path):
    text = '{"gold": "1", "response": "\\\\boxed{1} \u2028 \ud800"}\n'
    (tmp_path / "in.jsonl").write_bytes(text.encode("utf-8", "surrogatepass"))
    grade_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", show_progress=False)
    assert json.loads((tmp_path / "out.jsonl").read_text())["response"] == "\\boxed{1} \u2028 \ud800"


def test_an_empty_file(tmp_path: Path):
    assert grade_file(write(tmp_path / "in.jsonl", []), tmp_path / "out.jsonl") == {}
    assert (tmp_path / "out.jsonl").read_text() == ""


@pytest.mark.parametrize("line", ["{", "[]", '{"gold": 1}', '{"response": "x"}', '{"gold": 1, "response": 2}', "\xff"])
def test_a_bad_line_is_named_and_nothing_is_written(tmp_path: Path, line: str):
    (tmp_path / "in.jsonl").write_bytes(json.dumps(ROWS[0]).encode() + b"\n" + line.encode("latin-1") + b"\n")
    with pytest.raises(ValueError, match="line 2"):
        grade_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", show_progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
