"""The time that is left, and the lines of a display without a terminal."""

import json
from pathlib import Path

import pytest

from abcgrpo.experiments.jobs.board import Board, JobState, seconds_left
from abcgrpo.progress import duration


def job(name, started=None, ended=None, worked=True, trains=True) -> JobState:
    return JobState(name, Path(f"{name}.json"), trains, started, ended, worked)


def test_nothing_to_judge_by():
    assert seconds_left([job("a", started=0.0), job("b")], 2, now=10.0) is None
    assert seconds_left([job("a", started=0.0), job("b")], 2, now=10.0, shares={"a": 0.01}) is None


def test_by_the_share_that_is_done_of_the_first_job():
    # a takes 40 s; 30 of them are left, and b's 40; two at a time.
    assert seconds_left([job("a", started=0.0), job("b")], 2, now=10.0, shares={"a": 0.25}) == pytest.approx(35.0)


def test_by_jobs_that_are_finished():
    states = [job("a", 0.0, 100.0), job("b", 0.0, 120.0), job("c", started=100.0), job("d"), job("e")]
    # 110 s each: c still needs 90, d and e 220.
    assert seconds_left(states, 2, now=120.0) == pytest.approx((90 + 220) / 2)


def test_what_was_finished_before_counts_by_what_it_took_then():
    states = [job("a", 0.0, 0.1, worked=False), job("b", started=0.0), job("c")]
    assert seconds_left(states, 1, now=10.0, earlier=[60.0]) == pytest.approx(50 + 60)


def test_the_last_jobs_wait_for_the_slowest():
    states = [job("a", 0.0, 100.0), job("b", started=20.0), job("c", started=90.0)]
    assert seconds_left(states, 8, now=100.0) == pytest.approx(90)


def test_the_base_says_nothing_about_training():
    states = [job("base", 0.0, 5.0, trains=False), job("a", started=5.0), job("b")]
    assert seconds_left(states, 2, now=10.0) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (89, "89 s"), (100, "2 min"), (3600, "60 min"), (5400, "1 h 30 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_lines_where_there_is_no_terminal(tmp_path, capsys):
    running = JobState("GRPO, seed 1", tmp_path / "progress.json", True)
    done = JobState("GRPO, seed 0", tmp_path / "other.json", True, 0.0, 100.0, worked=True)
    with Board([done, running], workers=1) as board:
        board.show()
        running.started = 100.0
        running.file.write_text(json.dumps({"name": "training", "done": 30, "total": 100, "note": ""}))
        board.show()
        board.show()  # nothing new
        running.ended, running.failed = 101.0, True
        board.show()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("[1/2] GRPO, seed 0: done (about 2 min left)")
    assert lines[1].startswith("[1/2] GRPO, seed 1: training, 25% (about ")
    assert lines[2].startswith("[2/2] GRPO, seed 1: failed")
    assert len(lines) == 3
