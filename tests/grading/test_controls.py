"""Negative controls: that the other tests can fail, and that what is guarded against is there."""

import subprocess
import sys

import pytest
from math_verify import parse, verify

from tests.grading import variants

FALSE_EQUIVALENCES = [("1/2^{98}", "1/2^{99}"), ("0.0000002", "0.0000001"), (r"\{3,4\}", "(3,4)"), ("2516_9", "2516_8")]


@pytest.mark.parametrize(("gold", "answer"), FALSE_EQUIVALENCES)
def test_algebra_alone_accepts_what_the_grader_vetoes(gold: str, answer: str):
    """Where this fails, math-verify has become stricter, and a veto may go."""
    sides = [parse(rf"\boxed{{{text}}}", parsing_timeout=None) for text in (gold, answer)]
    assert verify(*sides, timeout_seconds=None)


@pytest.mark.parametrize(
    "grader",
    [lambda gold, answer: True, lambda gold, answer: gold == answer, lambda gold, answer: gold in answer],
    ids=["everything is right", "equal texts", "the gold stands in the answer"],
)
def test_the_table_of_variants_finds_simple_graders_out(grader):
    wrong = [case for case in variants.cases() if grader(case[0], case[1]) is not case[2]]
    assert len(wrong) >= 200


def test_a_signal_handler_does_not_stop_c_code():
    """What a timeout by SIGALRM and a Python handler is worth: due after 1 s, and still computing after 3."""
    program = (
        "import signal\n"
        "def handler(*_): raise TimeoutError\n"
        "signal.signal(signal.SIGALRM, handler); signal.alarm(1)\n"
        "sum(range(10**13))\n"
    )
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", program], timeout=3)
