"""Would another rule have mattered? By hand, and from the logs that the authors published."""

import json

import pytest

from abcgrpo.report.content.shadow import (
    first_measured,
    shadow_sentence,
    shadow_series,
    shadow_summary,
)
from abcgrpo.report.content.summary import summarize
from abcgrpo.report.reading.logs import Series
from abcgrpo.report.reading.records import RunRecord, load
from abcgrpo.report.write import write
from tests.audit.published import log, needs_published_logs


def seed(number: int, first: float, second: float) -> RunRecord:
    names: Series = {
        "shadow/removed/trained": {1: 0.0, 2: first},
        "shadow/removed/trained/q3": {1: 0.0, 2: first},
        "shadow/removed/open": {1: 0.0, 2: 0.0},
        "shadow/removed/abc_grpo": {1: 0.0, 2: second},
        "shadow/distance/trained/open": {1: 0.0, 2: first},
        "shadow/distance/trained/abc_grpo": {1: 0.0, 2: second - first},
    }
    return RunRecord("GRPO", number, names, {"recipe": {}})


def test_means_over_steps_and_seeds() -> None:
    runs = [seed(0, 0.01, 0.05), seed(1, 0.03, 0.07)]
    found = shadow_summary(runs)
    assert found is not None
    assert found["removed"]["trained"] == {"all": pytest.approx(0.01), "q3": pytest.approx(0.01)}
    assert found["removed"]["abc_grpo"]["all"] == pytest.approx(0.03)
    assert found["distance"]["abc_grpo"]["trained"] == found["distance"]["trained"]["abc_grpo"] == pytest.approx(0.02)
    said = shadow_sentence("GRPO", runs, shadow_summary(runs))
    assert said is not None
    assert said.startswith("GRPO: somewhat.")
    assert "removed 1% of the gradient's mass" in said
    assert "abc_grpo would have changed the most, 2% of that mass, and open the least, 1%" in said


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [(0.0, 0.0, "no. No ratio left 1"), (0.001, 0.002, "hardly."), (0.05, 0.06, "somewhat."), (0.3, 0.5, "much.")],
)
def test_the_answer_is_a_word_for_the_furthest_rule(first: float, second: float, answer: str) -> None:
    runs = [seed(0, first, second)]
    said = shadow_sentence("GRPO", runs, shadow_summary(runs))
    assert said is not None
    assert said.startswith(f"GRPO: {answer}")


def test_beside_a_loss_that_is_no_rule_the_measured_rules_are_set_against_one_another() -> None:
    names: Series = {
        "shadow/removed/open": {1: 0.0},
        "shadow/removed/grpo": {1: 0.02},
        "shadow/removed/abc_grpo": {1: 0.05},
        "shadow/distance/open/grpo": {1: 0.02},
        "shadow/distance/open/abc_grpo": {1: 0.05},
        "shadow/distance/grpo/abc_grpo": {1: 0.03},
    }
    runs = [RunRecord("SAPO", 0, names, {"recipe": {}})]
    said = shadow_sentence("SAPO", runs, shadow_summary(runs))
    assert said is not None
    assert "abc_grpo and open are furthest apart, by 5% of the gradient's mass" in said


def test_the_course_of_removed_mass_is_thinned_by_means() -> None:
    steps: Series = {"shadow/removed/grpo/q3": {step: float(step % 2) for step in range(1, 97)}}
    points = shadow_series([RunRecord("GRPO", 0, steps), RunRecord("GRPO", 1, steps)])["grpo"]["q3"]
    assert [point["step"] for point in points] == list(range(2, 97, 2))
    assert {point["value"] for point in points} == {0.5}  # the mean of each stretch of two steps


def test_the_arm_in_which_rules_are_furthest_apart_is_shown_first() -> None:
    far, near = (shadow_summary([seed(0, 0.01, second)]) for second in (0.3, 0.02))
    assert first_measured({"near": {"shadow": near}, "far": {"shadow": far}, "log": {"shadow": None}}) == "far"
    assert first_measured({"log": {"shadow": None}}) is None


def test_without_shadow_rules_clip_events_are_the_bound() -> None:
    runs = [RunRecord("GRPO", 0, {"clip/q1": {1: 0.0, 2: 0.001}, "clip/q3": {1: 0.0, 2: 0.002}}, None)]
    assert shadow_summary(runs) is None
    said = shadow_sentence("GRPO", runs, shadow_summary(runs))
    assert said is not None
    assert "0.15% of its tokens left 0.8 … 1.2 in Q1, Q3" in said
    assert "The log has no data for Q2 and Q4" in said
    assert shadow_sentence("A", [RunRecord("A", 0, {"entropy": {1: 1.0}}, None)], None) is None


def test_the_page_has_the_sentence_and_the_table(tmp_path) -> None:
    history = [
        {"step": step} | {name: values[step] for name, values in seed(0, 0.01, 0.05).metrics.items()} for step in (1, 2)
    ]
    state = tmp_path / "trainer_state.json"
    state.write_text(json.dumps({"log_history": history}))
    write(load([], [("GRPO", state)]), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Would another rule have mattered?" in page
    assert "abc_grpo would have changed the most, 2% of that mass" in page
    assert "2.500" in page  # abc_grpo's removed mass, in percent


@needs_published_logs
@pytest.mark.parametrize(
    ("size", "method", "percent", "outer"),
    [
        ("1.7B", "grpo", 0.058, None),
        ("4B", "grpo", 0.065, None),
        ("1.7B", "abc-grpo", 0.20, 0.12),
        ("4B", "abc-grpo", 0.17, 0.09),
    ],
)
def test_the_share_of_tokens_that_the_published_runs_clip(size: str, method: str, percent: float, outer) -> None:
    (arm,) = summarize(load([], [("A", log(size, method))]))["arms"].values()
    events = arm["clip_fraction"]
    assert 100 * sum(value or 0 for value in events.values()) == pytest.approx(percent, abs=0.005 if outer else 0.0005)
    if outer:
        assert 100 * (events["q2"] + events["q4"]) == pytest.approx(outer, abs=0.005)
    else:
        assert events["q2"] is None
