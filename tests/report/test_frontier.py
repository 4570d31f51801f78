"""The frontier in the report: a sentence beside the verdict, a panel, a level that is given."""

import pytest

from abcgrpo.report.content.summary import summarize
from abcgrpo.report.drawing.frontier import frontier_panels
from abcgrpo.report.reading.records import load
from tests.report.experiments import evaluation, run, specification


@pytest.fixture
def experiment(tmp_path):
    """Three seeds, three checkpoints; one arm learns as much in three steps as the other in two."""
    directory = tmp_path / "study"
    specification(directory, seeds=range(3))
    evaluation(directory / "base/evaluation/model/countdown", [1 + q % 3 for q in range(12)], samples=16)
    for arm, speed in (("GRPO", 3), ("ABC-GRPO", 2)):
        for seed in range(3):
            run(directory, 1.0, [0], arm=arm, seed=seed)
            for step in (1, 2, 3):
                right = [1 + q % 3 + speed * step + (seed + q) % 2 for q in range(12)]
                job = directory / "arms" / arm / f"seed-{seed}"
                evaluation(job / f"evaluation/checkpoint-{step}/countdown", right, samples=16)
    return directory


def test_the_verdict_says_both(experiment):
    report = summarize(load([experiment]))
    (found,) = report["frontier"]
    assert (found["arm"], found["baseline"], found["average"], found["passes"]) == (
        "ABC-GRPO",
        "GRPO",
        "avg@2",
        "pass@2",
    )
    assert found["level"] == 0.5  # the slower arm ends at (2 + 6 + 0.5) / 16 = 0.53
    assert abs(found["difference"]) < 0.02
    assert found["low"] < 0 < found["high"]
    assert "At equal Avg@2 (50.0) on countdown, 3 seeds: Pass@2 of ABC-GRPO minus that of GRPO" in found["sentence"]
    assert found["sentence"] in report["verdict"]
    at_equal_steps = next(each for each in report["comparisons"] if each["metric"] == "pass@2")
    assert at_equal_steps["difference"] < -0.05


def test_a_level_that_is_not_reached(experiment):
    records = load([experiment])
    records.level = 0.6
    report = summarize(records)
    assert report["frontier"][0]["difference"] is None
    assert "not reached by ABC-GRPO with seeds 0, 1, 2" in report["verdict"][-1]


def test_the_panel(experiment):
    report = summarize(load([experiment]))
    (panel,) = frontier_panels(report)
    assert panel.title == "Pass@2 against Avg@2"
    layers = panel.specification()["layer"]
    rows = [row for layer in layers for row in layer["data"]["values"] if "step" in row and "seed" not in row]
    assert {row["step"] for row in rows} == {0, 1, 2, 3}
    assert len({(row["arm"], row["step"]) for row in rows}) == 8
