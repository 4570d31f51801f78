"""Logs of three kinds into one form, whole, resumed, damaged."""

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abcgrpo.errors import UserError
from abcgrpo.files import json_line
from abcgrpo.report.reading.logs import read_log
from abcgrpo.report.reading.logs.series import collect


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
    assert "truncated or damaged" in log.problems[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("{}", "has no log_history"),
        ("[1]", "entry 1 is not an object"),
        ("7", "has no log_history"),
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
def written():
    """Writes an event file into a directory, one second a step."""
    tensorboard = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    def write(directory, first_time, lines):
        writer = tensorboard.EventFileWriter(str(directory), filename_suffix=f".{first_time}")
        for offset, (step, values) in enumerate(lines):
            scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            writer.add_event(Event(step=step, wall_time=first_time + offset, summary=Summary(value=scalars)))
        writer.close()

    return write


@pytest.fixture
def events(tmp_path, written):
    """Two event files: the second goes on from step 2, where the first had reached 3."""
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


ONE = [(1, {"entropy": 1.0}), (2, {"entropy": 0.9}), (3, {"entropy": 0.8})]


@pytest.mark.parametrize("directories", [("a", "b"), (".", ".")], ids=["two directories", "one directory"])
@pytest.mark.parametrize("second", [101, 500], ids=["at the same time", "later"])
def test_two_tensorboard_runs_are_not_merged(tmp_path, written, directories, second):
    for name, time in zip(directories, (100, second), strict=True):
        written(tmp_path / name, time, ONE)
    with pytest.raises(UserError, match=r"two runs.*--log of its own"):
        read_log(tmp_path)
    assert read_log(tmp_path / "a" if directories[0] == "a" else min(tmp_path.glob("events*"))).metrics


def test_a_resumed_run_in_another_directory_is_one_run(tmp_path, written):
    """As Hugging Face trainers leave it: a directory for each start, and one without scalars for the settings."""
    written(tmp_path / "runs" / "first", 100, ONE)
    written(tmp_path / "runs" / "first" / "settings", 101, [])
    written(tmp_path / "runs" / "second", 500, [(3, {"entropy": 0.5}), (4, {"entropy": 0.4})])
    assert read_log(tmp_path).metrics == {"entropy": {1: 1.0, 2: pytest.approx(0.9), 3: 0.5, 4: pytest.approx(0.4)}}


VERL = {
    "actor/entropy": 0.5,
    "actor/clip_q1": 0.01,
    "actor/clip_q4": 0.02,
    "critic/rewards/mean": 0.25,
    "response_length/mean": 700.0,
    "training/global_step": 3,
}
OURS = {"entropy": 0.5, "clip/q1": 0.01, "clip/q4": 0.02, "reward": 0.25, "completions/mean_length": 700.0}


def named(metrics, step):
    return {name: metrics[name][step] for name in OURS}


def test_verls_file_logger(tmp_path):
    """A line a step, `{"step", "data"}`, in a directory of its own."""
    path = tmp_path / "experiment.jsonl"
    path.write_text("".join(json.dumps({"step": step, "data": VERL}) + "\n" for step in (3, 4)))
    for log in (read_log(path), read_log(tmp_path)):
        assert named(log.metrics, 4) == OURS
        assert log.metrics["actor/entropy"] == {3: 0.5, 4: 0.5}  # its own names are kept


def test_verls_tensorboard(tmp_path, written):
    written(tmp_path, 100, [(step, VERL) for step in (1, 2)])
    assert named(read_log(tmp_path).metrics, 2) == pytest.approx(OURS)


def test_verls_entropy_reaches_the_report(tmp_path):
    from abcgrpo.report.content.summary import summarize
    from abcgrpo.report.reading.records import load

    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"step": 1, "data": VERL}) + "\n" + json.dumps({"step": 2, "data": VERL}) + "\n")
    report = summarize(load([], [("mine", path)]))
    assert report["arms"]["mine"]["entropy"]["final"] == 0.5
    assert report["arms"]["mine"]["clip_fraction"]["q4"] == 0.02
    assert not any("Entropy" in note for note in report["notes"])


def test_verls_masses_are_read_as_shares(tmp_path):
    """Quotients of sums, as docs/verl.md says; a step without any mass has removed nothing."""
    from abcgrpo.report.content.shadow import shadow_summary
    from abcgrpo.report.reading.records import load

    masses = [
        {
            "all": 40.0,
            "removed/trained": 2.0,
            "removed/trained/q4": 1.0,
            "removed/open": 0.0,
            "distance/trained/open": 2.0,
        },
        {
            "all": 0.0,
            "removed/trained": 0.0,
            "removed/trained/q4": 0.0,
            "removed/open": 0.0,
            "distance/trained/open": 0.0,
        },
    ]
    path = tmp_path / "log.jsonl"
    lines = [
        {"step": step, "data": {f"actor/mass/{name}": value for name, value in each.items()}}
        for step, each in enumerate(masses, start=1)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_log(path).metrics["shadow/removed/trained"] == {1: 0.05, 2: 0.0}
    found = shadow_summary(load([], [("mine", path)]).runs)
    assert found["removed"] == {"open": {"all": 0.0}, "trained": {"all": 0.025, "q4": 0.0125}}
    assert found["distance"]["open"]["trained"] == 0.025


def test_a_jsonl_without_steps_is_refused(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"entropy": 1.0}\n')
    with pytest.raises(UserError, match=r"line 1, has no step.*under `step`"):
        read_log(tmp_path / "log.jsonl")
    (tmp_path / "log.jsonl").write_text("[1]\n")
    with pytest.raises(UserError, match="line 1, is not a JSON object"):
        read_log(tmp_path / "log.jsonl")


HISTORY = [
    {"_step": 0, "_runtime": 5.0, "train/global_step": 10, "train/entropy": 1.0, "train/reward": None},
    {"_step": 1, "_runtime": 9.0, "train/global_step": 20, "train/entropy": 0.5, "train/reward": 0.25},
]


def test_a_wandb_history_as_csv_json_and_jsonl(tmp_path):
    """The optimizer step is `train/global_step`; `_step` counts calls."""
    (tmp_path / "a.json").write_text(json.dumps(HISTORY))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in HISTORY))
    rows = [",".join("" if value is None else str(value) for value in line.values()) for line in HISTORY]
    (tmp_path / "a.csv").write_text("\n".join([",".join(HISTORY[0]), *rows]) + "\n")
    for suffix in ("json", "jsonl", "csv"):
        metrics = read_log(tmp_path / f"a.{suffix}").metrics
        assert metrics["entropy"] == {10: 1.0, 20: 0.5}, suffix
        assert metrics["reward"] == {20: 0.25}


def test_a_wandb_panel_as_csv(tmp_path):
    path = tmp_path / "panel.csv"
    head = '"Step","grpo - train/entropy","grpo - train/entropy__MIN","grpo - train/entropy__MAX"'
    path.write_text(f'{head}\n"1","0.5","0.5","0.5"\n"2","","",""\n"3","0.25","0.2","0.3"\n')
    assert read_log(path).metrics == {"entropy": {1: 0.5, 3: 0.25}}
    path.write_text('"Step","grpo - train/entropy","abc - train/entropy"\n"1","0.5","0.6"\n')
    with pytest.raises(UserError, match="holds the runs abc, grpo in one file"):
        read_log(path)
    path.write_text("entropy\n0.5\n")
    with pytest.raises(UserError, match="no column for the step"):
        read_log(path)


def test_a_wandb_run_directory_is_named_with_what_to_do(tmp_path):
    run = tmp_path / "wandb" / "run-20261124_120000-ab12cd"
    (run / "files").mkdir(parents=True)
    (run / "run-ab12cd.wandb").write_bytes(b":W&B\x00")
    for path in (tmp_path, run, run / "run-ab12cd.wandb"):
        with pytest.raises(UserError, match=r"(?s)W&B's own form.*ENTITY/PROJECT/ab12cd.*--log NAME=ab12cd\.csv"):
            read_log(path)
