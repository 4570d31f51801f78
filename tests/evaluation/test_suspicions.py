"""A whole evaluation that says nothing is said so."""

import math
from collections import Counter

import numpy as np
import pytest

from abcgrpo.evaluation.results import Metrics, results, suspicion_of_training, suspicions
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


def test_a_trained_model_that_solves_nothing_is_no_base():
    found, _ = CASES["nothing"]
    ((base,), (trained,)) = suspicions(found), suspicions(found, trained=True)
    assert base.startswith("NOTHING was solved. Training then has nothing to learn from")
    assert trained.startswith("NOTHING was solved. Training had no signal")


def test_a_reward_of_0_throughout():
    assert "0 at EVERY logged step" in str(suspicion_of_training([0.0, 0.0]))
    for rewards in ([], [0.0, 0.1], [0.0, -0.1], [math.nan, 0.0]):
        assert suspicion_of_training(rewards) is None


def test_a_single_right_answer_is_none():
    assert (
        suspicions(evaluation([[False, True], [False, False]], no_answer=2, different=1, exact=1, truncated=0.5)) == []
    )
