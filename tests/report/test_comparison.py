"""The comparison in the report: arms as planned, evaluations at the last step, sentences on top."""

from io import StringIO

import pytest
from rich.console import Console

from abcgrpo.files import json_line, read_json, read_json_lines, write_json
from abcgrpo.report.content.summary import summarize
from abcgrpo.report.reading.records import load
from abcgrpo.report.text.terminal import terminal_sentences, terminal_tables
from tests.report.experiments import evaluation, run, specification

SEEDS = range(7)


@pytest.fixture
def experiment(tmp_path):
    """Seven seeds with which one arm answers none, one or two more of sixteen samples to each of twelve questions."""
    directory = tmp_path / "study"
    specification(directory, seeds=SEEDS)
    for seed in SEEDS:
        for arm, gain in (("GRPO", 0), ("ABC-GRPO", 1)):
            run(directory, 1.0, [0], arm=arm, seed=seed)
            right = [3 + question % 5 + seed % 3 + gain * (question % 3) for question in range(12)]
            evaluation(
                directory / "arms" / arm / f"seed-{seed}" / "evaluation/checkpoint-3/countdown", right, samples=16
            )
    return directory


def test_a_verdict_on_top(experiment):
    report = summarize(load([experiment]))
    average, passes = report["comparisons"]
    assert (average["arm"], average["baseline"], average["metric"], average["seeds"]) == (
        "ABC-GRPO",
        "GRPO",
        "avg@2",
        7,
    )
    assert average["difference"] == pytest.approx(1 / 16)
    assert average["p_value"] == pytest.approx(2 / 2**7)
    assert average["p_value_holm"] == pytest.approx(2 * 2 / 2**7)
    assert average["verdict"] == passes["verdict"] == "better"
    assert report["verdict"][1:3] == [average["sentence"], passes["sentence"]]
    assert report["verdict"][0].startswith("Better than GRPO: ")
    assert "at most 5%" in report["verdict_rule"]
    *_, table = terminal_tables(report, width=80)
    assert table.row_count == 2
    assert terminal_sentences(report)[: len(report["verdict"])] == report["verdict"]


def test_an_earlier_checkpoint_never_takes_the_place_of_the_last(experiment):
    last = experiment / "arms" / "ABC-GRPO" / "seed-0" / "evaluation" / "checkpoint-3"
    evaluation(last.with_name("checkpoint-2") / "countdown", [16] * 12, samples=16)
    assert summarize(load([experiment]))["comparisons"][0]["difference"] == pytest.approx(1 / 16)
    (last / "countdown" / "samples.jsonl").write_text("")
    report = summarize(load([experiment]))
    assert report["comparisons"][0]["seeds"] == 6
    assert report["comparisons"][0]["difference"] == pytest.approx(1 / 16)
    assert "ABC-GRPO, seed 0: not measured on countdown at its last step, 3." in report["missing"]
    assert any("another verdict needs 7 seeds" in sentence for sentence in report["verdict"])


def test_an_arm_that_failed_keeps_its_place(experiment):
    specification(experiment, arms=("GRPO", "broken", "ABC-GRPO"), seeds=SEEDS)
    report = summarize(load([experiment]))
    assert report["comparisons"][0]["p_value_holm"] == pytest.approx(4 * 2 / 2**7)
    assert any(line.startswith("broken against GRPO on countdown: not compared") for line in report["verdict"])


def test_without_the_baseline_nothing_is_compared(experiment):
    specification(experiment, arms=("broken", "GRPO", "ABC-GRPO"), seeds=SEEDS)
    assert summarize(load([experiment]))["comparisons"] == []


def test_tables_fit_80_columns_and_verdicts_are_whole(experiment):
    write_json(
        experiment / "experiment.json",
        read_json(experiment / "experiment.json") | {"evaluation": {"pass_at_k": [2, 4, 8, 16]}},
    )
    report = summarize(load([experiment]))
    for each in report["comparisons"]:
        each["verdict"] = "inconclusive"  # the longest
    for width, columns in ((80, 2), (200, 5)):
        console = Console(width=width, file=StringIO(), force_terminal=False)
        scores, comparisons = terminal_tables(report, width)
        assert len(scores.columns) == 1 + columns
        for table in (scores, comparisons):
            console.print(table)
        lines = console.file.getvalue().splitlines()
        assert max(map(len, lines)) <= width
        assert sum(line.rstrip().endswith("inconclusive") for line in lines) == 2
        assert "…" not in console.file.getvalue()


def test_how_arms_moved_from_the_base(experiment):
    evaluation(experiment / "base" / "evaluation" / "base" / "countdown", [4] * 12, samples=16)
    report = summarize(load([experiment]))
    assert report["verdict"][1] == ("From the base to the last step on countdown: Avg@2 up, Pass@2 up (all arms).")
    evaluation(experiment / "base" / "evaluation" / "base" / "countdown", [7] * 12, samples=16)
    moved = [line for line in summarize(load([experiment]))["verdict"] if line.startswith("From the base")]
    unclear = "without clear change"
    assert moved == [
        "From the base to the last step on countdown: Avg@2 down, Pass@2 down (GRPO).",
        f"From the base to the last step on countdown: Avg@2 {unclear}, Pass@2 {unclear} (ABC-GRPO).",
    ]


def test_the_verdict_warns_where_most_answers_were_none(experiment):
    for seed in SEEDS:
        path = experiment / "arms" / "GRPO" / f"seed-{seed}" / "evaluation/checkpoint-3/countdown/samples.jsonl"
        path.write_text(path.read_text().replace('"exact"', '"no_answer"'))
    report = summarize(load([experiment]))
    assert any(line.startswith("GRPO on countdown: EVERY answer ended in no_answer") for line in report["verdict"])


def test_a_trained_run_that_solves_nothing_is_said_in_report_and_terminal(experiment):
    for seed in SEEDS:
        evaluation(
            experiment / "arms" / "GRPO" / f"seed-{seed}" / "evaluation/checkpoint-3/countdown", [0] * 12, samples=16
        )
    for seed in (0, 1):
        path = experiment / "arms" / "GRPO" / f"seed-{seed}" / "training" / "metrics.jsonl"
        lines = [line | {"reward": 0.0 if seed == 0 else 0.1} for line in read_json_lines(path)]
        path.write_text("".join(map(json_line, lines)))
    report = summarize(load([experiment]))
    found = [line for line in report["verdict"] if "NOTHING" in line or "EVERY" in line]
    assert [line.partition(". ")[0] for line in found] == [
        "GRPO on countdown: NOTHING was solved",
        "GRPO, seed 0: The reward was 0 at EVERY logged step: nothing was solved, so training had no signal",
    ]
    assert set(found) <= set(terminal_sentences(report))
