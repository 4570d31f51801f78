r"""Classes of answers that graders let through though they are wrong, and refuse though they are right.

`classes/*.jsonl`, one file for each: lines of a gold, answers that are right, answers that are wrong.

| file | what is wrong in it |
|---|---|
| `side_by_side` | numbers beside each other read as a sum, or as a product that nobody wrote |
| `text_after_a_number` | `\text` and `\mathrm` taken as a unit: i, e, a variable, million, squared |
| `trailing_variables` | a variable at the end taken as a unit: π r² for π r² h |
| `equations` | other labels or other right sides |
| `empty_set` | the empty set for another set, and the reverse |
| `tiny_numbers` | numbers below 10⁻⁴⁰ |
| `other_notation` | ratios, times, labelled tuples, money, double factorials, e, determinants, unsolved equations |
| `neighbours` | what lies beside all of these, found by trying |
| `other_spellings` | right answers in spellings that are refused, and their wrong neighbours |
"""

import json
from pathlib import Path

import pytest

from abcgrpo.grading import Verdict, grade_batch

FOLDER = Path(__file__).parent / "classes"
NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def cases(name: str) -> list[tuple[str, str, bool]]:
    """(gold, answer, whether it is right)."""
    lines = [json.loads(line) for line in (FOLDER / f"{name}.jsonl").open(encoding="utf-8")]
    return [
        (line["gold"], answer, right)
        for line in lines
        for right in (True, False)
        for answer in line["right" if right else "wrong"]
    ]


def graded(pairs: list[tuple[str, str]]) -> list[Verdict]:
    return grade_batch([rf"Thus we have $\boxed{{{answer}}}$." for _, answer in pairs], [gold for gold, _ in pairs])


@pytest.mark.parametrize("name", NAMES)
def test_class(name: str):
    found = cases(name)
    assert len({(gold, answer) for gold, answer, _ in found}) == len(found)
    assert sum(not right for *_, right in found) >= 40
    assert sum(right for *_, right in found) >= 25
    verdicts = graded([(gold, answer) for gold, answer, _ in found])
    mistakes = [
        (gold, answer, verdict)
        for (gold, answer, right), verdict in zip(found, verdicts, strict=True)
        if verdict.correct is not right
    ]
    assert mistakes == []


def test_no_class_is_missing():
    assert len(NAMES) == 9
