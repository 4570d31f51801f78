"""Logs of three kinds into one form, whole, resumed, damaged."""

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abcgrpo.errors import UserError
from abcgrpo.files import json_line
from abcgrpo.report.logs import collect, read_log


def state(path, history, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"global_step": len(history), "log_history": history} | more))
    return path


def test_a_trainer_state(tmp_path):
    history = [
        {"step": 1, "entropy": 0.5, "reward": 0.1, "of/mine": 7},
        {"step": 2, "entropy": 0.4},
        {"step": 2, "train_runtime": 3.5},
    ]
    log = read_log(state(tmp_path / "trainer_state.json", history))
    assert log.metrics == {
        "entropy": {1: 0.5, 2: 0.4},
        "reward": {1: 0.1},  # logged at some steps only
        "of/mine": {1: 7.0},  # unknown, and kept
        "train_runtime": {2: 3.5},
    }
    assert log.problems == []


def test_a_directory_of_checkpoints_is_read_at_its_last(tmp_path):
    for step in (2, 10):
        state(tmp_path / f"checkpoint-{step}" / "trainer_state.json", [{"step": step, "entropy": float(step)}])
    assert read_log(tmp_path).metrics == {"entropy": {10: 10.0}}


def test_our_own_metrics(tmp_path):
    lines = [{"step": 1, "ratio/max": math.inf, "entropy": 1.0}, {"step": 2, "entropy": math.nan}]
    (tmp_path / "metrics.jsonl").write_text("".join(map(json_line, lines)) + '{"step": 3, "entr')
    log = read_log(tmp_path)
    assert log.metrics == {"entropy": {1: 1.0}}
    assert [problem.partition(": ")[2] for problem in log.problems] == [
        "entropy: 1 values are not finite and are left out.",
        "ratio/max: 1 values are not finite and are left out.",
    ]


def test_a_line_that_is_broken_ends_the_reading(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "entropy": 1.0}\nnonsense\n{"step": 2, "entropy": 0.5}\n')
    log = read_log(tmp_path)
    assert log.metrics == {"entropy": {1: 1.0}}
    assert "line 2" in log.problems[0]


def test_a_resumed_run_has_each_step_once():
    lines = [{"step": step, "entropy": 1.0} for step in (1, 2, 3, 4, 5)]
    lines += [{"step": step, "entropy": 2.0} for step in (3, 4)]
    problems = []
    # Step 5 was logged by a run that did not go on: what followed step 4 is not known.
    assert collect(lines, problems) == {"entropy": {1: 1.0, 2: 1.0, 3: 2.0, 4: 2.0}}
    assert problems == ["the run was resumed at step 3; 3 steps logged before that are replaced."]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_steps_ascend_and_hold_what_was_logged_last(steps):
    problems: list[str] = []
    found = collect([{"step": step, "at": index} for index, step in enumerate(steps)], problems)["at"]
    assert list(found) == sorted(found)
    assert len(problems) == sum(after < before for before, after in itertools.pairwise(steps))
    for step, value in found.items():
        assert value == max(index for index, each in enumerate(steps) if each == step)
        assert all(each >= step for each in steps[int(value) :])  # nothing before it was logged after it


def test_a_truncated_file_is_read_as_far_as_it_goes(tmp_path):
    path = state(tmp_path / "trainer_state.json", [{"step": step, "entropy": 1 / step} for step in range(1, 40)])
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    log = read_log(path)
    assert 10 < len(log.metrics["entropy"]) < 30
    assert log.metrics["entropy"][3] == pytest.approx(1 / 3)
    assert "cut short or damaged" in log.problems[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("{}", "has no log_history"),
        ("[1]", "has no log_history"),
        ('{"log_history": [{"st', "no logged step"),
        ('{"log_history": []}', "no logged number"),
        ("\x89PNG", "not valid JSON"),
    ],
)
def test_what_holds_nothing(tmp_path, content, message):
    (tmp_path / "trainer_state.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_log(tmp_path / "trainer_state.json")


def test_no_log_at_all(tmp_path):
    with pytest.raises(UserError, match="holds no log"):
        read_log(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        read_log(tmp_path / "nowhere")


@pytest.fixture
def events(tmp_path):
    """Two event files: the second goes on from step 2, where the first had reached 3."""
    tensorboard = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    def written(directory, first_time, lines):
        writer = tensorboard.EventFileWriter(str(directory), filename_suffix=f".{first_time}")
        for offset, (step, values) in enumerate(lines):
            scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            writer.add_event(Event(step=step, wall_time=first_time + offset, summary=Summary(value=scalars)))
        writer.close()

    written(
        tmp_path, 100, [(1, {"train/entropy": 1.0, "eval/reward": 0.5}), (2, {"train/entropy": 0.75}), (3, {"x": 9.0})]
    )
    written(tmp_path, 200, [(2, {"train/entropy": 0.5}), (3, {"train/entropy": 0.25})])
    return tmp_path


def test_tensorboard_event_files(events):
    log = read_log(events)
    assert log.metrics == {"entropy": {1: 1.0, 2: 0.5, 3: 0.25}, "eval_reward": {1: 0.5}}
    assert "resumed at step 2" in log.problems[0]


def test_one_event_file_and_a_cut_one(events):
    first, second = sorted(events.glob("events*"))
    assert read_log(first).metrics["x"] == {3: 9.0}
    second.write_bytes(second.read_bytes()[:-7])
    assert read_log(second).metrics["entropy"] == {2: 0.5}
