"""Every formatting variant, graded through the whole grader in one batch."""

import pytest

from abcgrpo.grading import Verdict, grade_batch
from tests.grading import variants

CASES = variants.cases()


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    return grade_batch([rf"So we get $\boxed{{{answer}}}$" for _, answer, _, _ in CASES], [gold for gold, *_ in CASES])


def test_there_are_enough_and_none_twice():
    assert len(CASES) >= 400
    assert len({(gold, answer) for gold, answer, _, _ in CASES}) == len(CASES)
    assert min(len(variants.MATCH), len(variants.DIFFER)) >= 20


@pytest.mark.parametrize("index", range(len(CASES)), ids=lambda i: f"{i}: {CASES[i][3]}")
def test_variant(index: int, verdicts: list[Verdict]):
    gold, answer, matches, why = CASES[index]
    assert verdicts[index].correct is matches, f"{why}: gold {gold!r}, answer {answer!r}, {verdicts[index]}"


def test_no_verdict_needed_a_limit(verdicts: list[Verdict]):
    assert not [verdict for verdict in verdicts if verdict.reason in ("timeout", "killed", "unparsable_gold")]
