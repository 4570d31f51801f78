"""Responses recorded token by token: which are chosen, and what the page says of each token."""

import pytest

from abcgrpo.files import json_line
from abcgrpo.report.content.summary import summarize
from abcgrpo.report.content.tokens import LONGEST, recorded_responses
from abcgrpo.report.page.tokens import PLACEHOLDER, spans
from abcgrpo.report.reading.records import RunRecord, load
from tests.report.experiments import response, run, specification


@pytest.fixture
def recorded(tmp_path):
    """Lines of a record, as an arm's only run left them."""

    def written(*lines):
        path = tmp_path / "tokens.jsonl"
        path.write_text("".join(map(json_line, lines)))
        return [RunRecord("GRPO", 7, {}, {"recipe": {}}, tokens=path)]

    return written


def test_failed_responses_come_first_then_those_with_more_events(recorded):
    runs = recorded(
        response(1, "1+1", -0.5, [0, 3, 0]),
        response(2, "1+1", -0.5, [4, 3, 0]),  # the same problem: the one with more events
        response(3, "2+2", 0.5, [1, 1, 1]),
        response(4, "3+3", -0.5, [0, 4, 0]),
        response(5, "4+4", -0.5, [0, 0, 0]),
    )
    found = recorded_responses(runs)
    assert [(each["prompt"], each["step"], each["seed"]) for each in found] == [
        ("1+1", 2, 7),
        ("3+3", 4, 7),
        ("4+4", 5, 7),
    ]
    assert found[0]["counts"] == {"q1": 0, "q2": 0, "q3": 1, "q4": 1}


def test_over_punished_are_events_of_q3_and_q4_whose_prefix_was_no_worse(recorded):
    line = response(1, "1+1", -0.5, [4, 4, 3, 0]) | {"prefix_gain": [0.0, -0.1, 0.2, 0.5]}
    (found,) = recorded_responses(recorded(line))
    assert found["over_punished"] == 2


def test_long_responses_are_cut_and_their_length_is_told(recorded):
    (found,) = recorded_responses(recorded(response(1, "1+1", -0.5, [4] * (LONGEST + 50))))
    assert (len(found["tokens"]), found["length"], found["counts"]["q4"]) == (LONGEST, LONGEST + 50, LONGEST + 50)


def test_without_a_record_there_is_nothing():
    assert recorded_responses([RunRecord("GRPO", 0, {}, None)]) == []


def test_what_the_page_says_of_each_token():
    line = {
        "tokens": ["a", "", "c", "d"],
        "own": [1, 1, 1, 0],
        "advantages": [-0.5, 1.0, 0.0, 0.0],
        "ratios": [1.3, 0.75, 1.0, 1.0],
        "events": [4, 2, 0, 0],
        "clipped": [0, 1, 0, 0],
        "prefix_gain": [0.0, 0.0, 0.0, 0.0],
    }
    first, second, third, tool = spans(line)
    assert first == ("a", "down q4 over", 0.5, first.says)
    assert first.says == "Â −0.5, r 1.3, clip event of Q4, punished, though the prefix was no worse than its group"
    assert second == (PLACEHOLDER, "up q2 changed", 1.0, "Â +1, r 0.75, clip event of Q2, the rule changed its weight")
    assert (third.classes, third.strength) == ("zero", 0.0)
    assert tool == ("d", "other", 0.0, "a tool's output")
    assert "changed" not in spans(line | {"clipped": None})[1].classes  # a loss of TRL's own


def test_an_experiments_record_reaches_the_report(tmp_path):
    directory = tmp_path / "study"
    specification(directory, arms=("GRPO", "ABC-GRPO"))
    for arm in ("GRPO", "ABC-GRPO"):
        run(directory, 1.0, [1, 2], arm=arm)
    path = directory / "arms/GRPO/seed-0/training/tokens.jsonl"
    path.write_text(json_line(response(1, "1+1", -0.5, [0, 4])))
    found = summarize(load([directory]))["tokens"]
    assert list(found) == ["GRPO"]
    assert found["GRPO"][0]["tokens"] == ["t0", "t1"]
