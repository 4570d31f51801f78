"""A whole evaluation that says nothing is said so."""

from collections import Counter

import numpy as np
import pytest

from abcgrpo.evaluation.results import Metrics, results, suspicions
from abcgrpo.evaluation.store import Evaluation


def evaluation(right: list[list[bool]], truncated: float = 0.0, **reasons: int) -> Evaluation:
    answers = [["x"] * len(row) for row in right]
    settings = {"samples": len(right[0])}
    names = [f"q{number}" for number in range(len(right))]
    return Evaluation(settings, names, np.array(right), answers, Counter(reasons), truncated, 1.0, [])


CASES = {
    "no answer at all": (evaluation([[False] * 2] * 2, no_answer=4), "no_answer"),
    "the grade failed": (evaluation([[False] * 2] * 2, failed=4), "FAILED"),
    "nothing": (evaluation([[False] * 2] * 2, no_answer=1, different=3), "NOTHING"),
    "hardly an answer": (evaluation([[False, True], [False, False]], no_answer=3, exact=1), "MOST answers ended"),
    "truncated": (evaluation([[False, True], [False, False]], truncated=0.75, exact=1), "MOST answers were truncated"),
    "everything": (evaluation([[True] * 2] * 2, exact=4), "EVERYTHING"),
}


@pytest.mark.parametrize(("found", "word"), CASES.values(), ids=CASES)
def test_what_is_suspicious(found, word):
    (warning,) = suspicions(found)
    assert word in warning
    notes = results({"b": {"m": found}}, Metrics(2, [2]))["notes"]
    assert f"m on b: {warning}" in notes


def test_a_single_right_answer_is_none():
    assert (
        suspicions(evaluation([[False, True], [False, False]], no_answer=2, different=1, exact=1, truncated=0.5)) == []
    )
