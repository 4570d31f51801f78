"""The report from files written by hand, with every figure worked out."""

import csv
import json
import math

import pytest

from abcgrpo.errors import UserError
from abcgrpo.files import write_json
from abcgrpo.report.content.comparison import headline
from abcgrpo.report.content.runs import rule_curves, rule_of
from abcgrpo.report.content.summary import summarize
from abcgrpo.report.drawing.comparison import forest_panels
from abcgrpo.report.reading.records import RunRecord, load
from abcgrpo.report.text.document import latex, markdown
from abcgrpo.report.text.tables import rows
from abcgrpo.report.write import write
from tests.report.experiments import RULES, comparison, evaluation, run, specification


@pytest.fixture
def experiment(tmp_path):
    directory = tmp_path / "<b>study"
    specification(directory)
    evaluation(directory / "base" / "evaluation" / "model" / "countdown", [0, 1, 2])
    run(directory, entropy=3.0, correct=[1, 2, 3])
    run(directory, entropy=6.0, correct=[2, 2, 4], arm="ABC-GRPO")
    return directory


def test_every_figure_of_the_summary(experiment):
    report = summarize(load([experiment]))
    grpo = report["arms"]["GRPO"]
    assert grpo["entropy"]["final"] == pytest.approx(1.0)
    assert grpo["reward"]["final"] == pytest.approx(0.2)  # logged at some steps only
    assert grpo["zero_variance_fraction"]["mean"] == pytest.approx(0.5)
    assert [grpo["clip_share"][q] for q in ("q1", "q2", "q3", "q4")] == pytest.approx([0.25, 0.0, 0.5, 0.25])
    assert grpo["clip_share"]["steps_with_events"] == 2
    assert grpo["clip_fraction"]["q3"] == pytest.approx(0.01 / 3)
    assert grpo["metrics"]["my/own"] == {"first": 1.0, "final": 3.0, "mean": 2.0}
    assert grpo["evaluation"]["countdown"]["avg@2"]["value"] == pytest.approx(0.5)
    # Pass@2 of 1, 2 and 3 right of 4 is 1 − C(3,2)/6, 1 − C(2,2)/6, 1.
    assert grpo["evaluation"]["countdown"]["pass@2"]["value"] == pytest.approx((0.5 + 5 / 6 + 1) / 3)
    assert grpo["rule"] == {"name": "grpo", "eps": 0.2}
    assert report["entropy_ratio"] == {"ABC-GRPO / GRPO": pytest.approx(2.0), "GRPO / ABC-GRPO": pytest.approx(0.5)}
    assert "differences" not in report  # one difference, one interval, one place
    average = {(each["arm"], each["baseline"]): each for each in report["comparisons"] if each["metric"] == "avg@2"}
    against = {sides: each["difference"] for sides, each in average.items()}
    assert against == pytest.approx({("GRPO", "base"): 0.25, ("ABC-GRPO", "base"): 5 / 12, ("ABC-GRPO", "GRPO"): 1 / 6})
    assert average["ABC-GRPO", "GRPO"]["relative"] == pytest.approx(1 / 3)
    assert [average[sides]["in_family"] for sides in against] == [True, False, False]
    assert report["configuration"] == {"rule": RULES}


def test_all_files_are_there_and_nothing_of_a_run_is_markup(experiment, tmp_path):
    out = tmp_path / "out"
    report = write(load([experiment]), out)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    assert report == json.loads((out / "report.json").read_text(), parse_constant=refuse)
    names = {"avg_at_k", "pass_at_k_large", "entropy", "reward", "clip_events", "clip_fraction", "response_length"}
    assert {path.stem for path in (out / "figures").iterdir()} == names | {"zero_variance", "comparison", "frontier"}
    for name in names:
        assert (out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (out / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    page = (out / "report.html").read_text()
    assert "<b>study" not in page
    assert "&lt;b&gt;study" in page
    assert "ABC-GRPO − GRPO" in (out / "report.md").read_text()
    with (out / "metrics.csv").open() as file:
        lines = list(csv.DictReader(file))
    of_grpo = [(line["seed"], line["step"], line["my/own"]) for line in lines if line["arm"] == "GRPO"]
    assert of_grpo == [("0", "1", "1.0"), ("0", "2", "2.0"), ("0", "3", "3.0")]
    assert any(line["reward"] == "" for line in lines)  # logged at some steps only


def test_seeds_are_averaged_and_kept(experiment):
    specification(experiment, arms=["GRPO"], seeds=[0, 1, 2])
    run(experiment, entropy=6.0, correct=[3, 2, 1], seed=1)
    report = summarize(load([experiment]))
    grpo = report["arms"]["GRPO"]
    assert grpo["seeds"] == [0, 1]
    assert grpo["entropy"]["final"] == pytest.approx(1.5)
    assert {seed: each["final"] for seed, each in grpo["entropy"]["per_seed"].items()} == {"0": 1.0, "1": 2.0}
    assert grpo["evaluation"]["countdown"]["avg@2"]["value"] == 0.5
    assert report["series"]["GRPO"]["entropy"][0] == {"step": 1, "value": 4.5, "seeds": {"0": 3.0, "1": 6.0}}
    assert report["missing"] == ["GRPO, seed 2: not trained yet."]


def test_what_is_missing_is_said_and_the_rest_is_shown(experiment, tmp_path):
    job = experiment / "arms" / "GRPO" / "seed-0"
    (job / "evaluation" / "checkpoint-3" / "countdown" / "samples.jsonl").write_text("")
    run(experiment, entropy=6.0, correct=None, arm="ABC-GRPO", status="running")
    report = write(load([experiment]), tmp_path / "out")
    assert report["arms"]["GRPO"]["evaluation"]["countdown"] is None
    assert "ABC-GRPO" not in report["arms"]
    assert any("0 of 12 samples" in line for line in report["missing"])
    assert any("ABC-GRPO, seed 0: running" in line for line in report["missing"])


def test_a_single_run_has_a_report_too(experiment, tmp_path):
    report = write(load([experiment / "arms" / "GRPO" / "seed-0" / "training"]), tmp_path / "out")
    assert report["base"] is None
    assert report["arms"]["training"]["entropy"]["final"] == pytest.approx(1.0)


def test_several_benchmarks_are_laid_out_and_averaged(experiment):
    run(experiment, entropy=3.0, correct=[1, 2, 3], benchmarks=["amc23"])
    run(experiment, entropy=6.0, correct=[3, 3, 3], arm="ABC-GRPO", benchmarks=["amc23"])
    report = summarize(load([experiment]))
    assert set(report["benchmarks"]) == {"countdown", "amc23"}
    table = {(row.benchmark, row.name): row.cells[0] for row in rows(report)}
    assert table["amc23", "ABC-GRPO"].startswith("75.0")
    assert table["amc23", "ABC-GRPO − GRPO"].startswith("+25.0")
    assert ("amc23", "base") not in table  # the base was not measured on it
    assert table["average", "ABC-GRPO"] == "70.8"  # (2/3 + 3/4) / 2
    assert ("average", "base") not in table


def test_comparisons_are_laid_out_everywhere(experiment):
    report = summarize(load([experiment]))
    report["comparisons"] = [
        comparison("ABC-GRPO", "countdown", "avg@2", 0.05, "better"),
        comparison("ABC-GRPO", "countdown", "pass@2", -0.01, "inconclusive"),
    ]
    (panel,) = forest_panels(report)
    assert panel.name == "comparison"
    cells = {row.name: row.cells for row in rows(report)}["ABC-GRPO − GRPO"]
    assert cells == ["+5.0 [+3.0, +7.0]", "−1.0 [−3.0, +1.0]"]  # the interval that covers seeds, where there is one
    text = markdown(report, [panel])
    assert (
        "| countdown | ABC-GRPO − GRPO | Pass@2 | −1.0 [−3.0, +1.0] | inconclusive | 0.031 | – | 0.80 | 3.0 | 8 |"
        in text
    )
    assert r"ABC-GRPO $-$ GRPO & +5.0 {\scriptsize [+3.0, +7.0]}" in latex(report)


def log(path, history):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"log_history": history}))
    return path


def test_logs_of_several_arms_and_seeds(tmp_path):
    short = log(tmp_path / "a.json", [{"step": step, "entropy": 4.0 / step} for step in (1, 2)])
    long = log(tmp_path / "b.json", [{"step": step, "entropy": 4.0, "reward": math.nan} for step in (1, 2, 3, 4)])
    other = log(tmp_path / "c.json", [{"step": step, "entropy": 6.0, "reward": 0.5} for step in (1, 2)])
    empty = log(tmp_path / "d.json", [])
    given = [("A", short), ("A", long), ("B", other), ("C", empty)]
    report = write(load([], given), tmp_path / "out")
    assert list(report["arms"]) == ["A", "B"]
    assert report["arms"]["A"]["seeds"] == [0, 1]
    assert report["arms"]["A"]["entropy"]["final"] == pytest.approx(3.0)
    assert report["entropy_ratio"]["B / A"] == pytest.approx(2.0)
    assert report["arms"]["A"]["reward"]["final"] is None
    assert report["arms"]["A"]["rule"] is None
    # Of one seed the log ends at step 2: the mean goes on with the other.
    assert [point["value"] for point in report["series"]["A"]["entropy"]] == pytest.approx([4.0, 3.0, 4.0, 4.0])
    said = " ".join(report["missing"])
    assert "reward: 4 values are not finite" in said
    assert "C: " in said
    assert "holds no logged number" in said
    assert any("logs end at steps 2, 4" in note for note in report["notes"])
    assert any("The reward is not in the log of A" in note for note in report["notes"])
    assert report["verdict"][0].startswith("No verdict on accuracy")
    assert "training & A & 2 & 4 & 3.000 & --" in (tmp_path / "out" / "report.tex").read_text()


def test_a_run_of_ours_as_a_log_has_its_seed(experiment):
    training = experiment / "arms" / "ABC-GRPO" / "seed-0" / "training"
    records = load([], [("mine", training)])
    assert [(run.arm, run.seed) for run in records.runs] == [("mine", 0)]
    with pytest.raises(UserError, match="two runs of mine with seed 0"):
        load([], [("mine", training), ("mine", training)])
    with pytest.raises(UserError, match="holds an experiment"):
        load([], [("mine", experiment)])


def test_a_directory_without_a_run(tmp_path):
    with pytest.raises(UserError, match="no experiment and no run"):
        load([tmp_path])
    write_json(tmp_path / "experiment.json", {"evaluation": {"pass_at_k": [2]}, "arms": {"GRPO": {}}, "seeds": [0]})
    with pytest.raises(UserError, match="no finished run"):
        load([tmp_path])


def test_the_verdicts_in_one_sentence():
    family = [
        comparison("ABC-GRPO", "countdown", "avg@2", 0.05, "better"),
        comparison("dual-clip", "countdown", "pass@2", -0.05, "worse"),
        comparison("dual-clip", "countdown", "avg@2", 0.0, "inconclusive"),
    ]
    assert headline(family, "GRPO") == (
        "Better than GRPO: ABC-GRPO in Avg@2 on countdown; worse than GRPO: dual-clip in Pass@2 on countdown; "
        "inconclusive: 1 of 3 comparisons."
    )
    nothing = headline(family[2:] * 2, "GRPO")
    assert nothing == "No arm is shown to be better or worse than GRPO: all 2 comparisons are inconclusive."


def test_curves_are_those_that_runs_recorded():
    curve = {"ratio": [1.0], "positive": {}, "negative": {}}
    other = curve | {"ratio": [2.0]}
    arms = {
        "GRPO": [RunRecord("GRPO", 0, {}), RunRecord("GRPO", 1, {}, {"rule_curve": curve})],
        "again": [RunRecord("again", 0, {}, {"rule_curve": curve})],
        "other": [RunRecord("other", 0, {}, {"rule_curve": other})],
        "TRL's own": [RunRecord("TRL's own", 0, {}, {"recipe": {}})],
    }
    assert rule_curves(arms) == {"GRPO": curve, "other": other}
    assert rule_of(arms["TRL's own"]) is None
