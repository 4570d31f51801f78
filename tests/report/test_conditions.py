"""Arms under conditions: compared within each, corrected over all, drawn effect against condition."""

import pytest

from abcgrpo.files import read_json, write_json
from abcgrpo.report.content.conditions import conditions
from abcgrpo.report.content.summary import summarize
from abcgrpo.report.drawing.comparison import forest_panels
from abcgrpo.report.reading.records import load
from abcgrpo.report.text.tables import condition_tables
from abcgrpo.report.text.terminal import terminal_sentences, terminal_tables
from abcgrpo.report.write import write
from tests.report.experiments import LADDER, evaluation, ladder, run, specification

SEEDS = range(8)
GAINS = {"fresh": 0, "stale": 2}
"""By condition, how many more of sixteen samples the other arm answers, in the mean over questions."""


@pytest.fixture
def experiment(tmp_path):
    directory = tmp_path / "ladder"
    content = {"evaluation": {"pass_at_k": [2]}, "arms": {"GRPO": {}, "ABC-GRPO": {}}, "seeds": list(SEEDS)}
    write_json(directory / "experiment.json", content | {"conditions": {name: {} for name in GAINS}})
    for condition, gain in GAINS.items():
        for seed in SEEDS:
            for arm, more in (("GRPO", 0), ("ABC-GRPO", gain)):
                top = directory / "conditions" / condition
                run(top, 1.0, [0], arm=arm, seed=seed)
                noise = (seed + len(arm)) % 2  # so that seeds differ where arms do not
                right = [3 + noise + q % 4 + seed % 3 + more * (q % 3) for q in range(12)]
                job = top / "arms" / arm / f"seed-{seed}"
                evaluation(job / "evaluation/checkpoint-3/countdown", right, samples=16)
    return directory


def test_arms_are_compared_within_a_condition_and_corrected_over_all(experiment):
    report = summarize(load([experiment]))
    family = [each for each in report["comparisons"] if each["in_family"]]
    assert [(each["benchmark"], each["measured_on"], each["condition"], each["metric"]) for each in family] == [
        (f"countdown, {condition}", "countdown", condition, metric)
        for condition in GAINS
        for metric in ("avg@2", "pass@2")
    ]
    by_condition = {each["condition"]: each for each in family if each["metric"] == "avg@2"}
    for condition, gain in GAINS.items():
        assert by_condition[condition]["seeds"] == len(SEEDS)
        assert by_condition[condition]["difference"] == pytest.approx(gain / 16)
    stale = by_condition["stale"]
    assert stale["p_value_holm"] >= 4 * 2 / 2**8 - 1e-12  # the smallest of four, times four
    assert stale["verdict"] == "better"
    assert by_condition["fresh"]["verdict"] == "inconclusive"
    assert "countdown, stale" in report["verdict"][0]


def test_arms_of_two_conditions_stand_side_by_side(experiment):
    report = summarize(load([experiment]))
    assert list(report["arms"]) == ["GRPO, fresh", "ABC-GRPO, fresh", "GRPO, stale", "ABC-GRPO, stale"]
    assert all(len(content["seeds"]) == len(SEEDS) for content in report["arms"].values())


def test_effect_against_condition_is_drawn(experiment, tmp_path):
    report = summarize(load([experiment]))
    panels = {panel.name: panel for panel in forest_panels(report)}
    assert list(panels) == ["effect_by_condition_1", "effect_by_condition_2", "comparison_1", "comparison_2"]
    drawn = str(panels["effect_by_condition_1"].specification())
    assert "'fresh'" in drawn
    assert "'stale'" in drawn
    write(load([experiment]), tmp_path / "report")
    assert (tmp_path / "report" / "figures" / "effect_by_condition_2.png").stat().st_size > 1000
    assert "difference from GRPO by condition" in (tmp_path / "report" / "report.html").read_text()


def test_without_conditions_nothing_of_them_is_drawn(experiment):
    content = read_json(experiment / "experiment.json") | {"conditions": {}}
    write_json(experiment / "experiment.json", content)
    for path in (experiment / "conditions" / "stale").iterdir():
        path.rename(experiment / path.name)
    report = summarize(load([experiment]))
    assert [panel.name for panel in forest_panels(report)] == ["comparison"]
    assert {each["condition"] for each in report["comparisons"]} == {None}


def test_what_is_missing_names_its_condition(experiment):
    (experiment / "conditions/stale/arms/GRPO/seed-3/training/run.json").unlink()
    assert summarize(load([experiment]))["missing"] == ["GRPO, stale, seed 3: not trained yet."]


def test_the_entropy_at_the_end_is_compared_within_each_condition(tmp_path):
    directory = tmp_path / "ladder"
    content = {"evaluation": {"pass_at_k": [2]}, "arms": {"GRPO": {}, "ABC-GRPO": {}}, "seeds": list(SEEDS)}
    write_json(directory / "experiment.json", content | {"conditions": {name: {} for name in GAINS}})
    for condition, factors in {"fresh": (0.9, 1.1), "stale": (1.5, 1.5)}.items():
        for seed in SEEDS:
            run(directory / "conditions" / condition, 1.0 + seed, [], arm="GRPO", seed=seed)
            entropy = (1.0 + seed) * factors[seed % 2]
            run(directory / "conditions" / condition, entropy, [], arm="ABC-GRPO", seed=seed)
    report = summarize(load([directory]))
    fresh, stale = report["entropy_at_end"]
    assert (fresh["setting"], fresh["verdict"], stale["setting"], stale["verdict"]) == (
        "fresh",
        "inconclusive",
        "stale",
        "higher",
    )
    assert (stale["ratio"], stale["low"], stale["high"]) == pytest.approx((1.5, 1.5, 1.5))
    assert fresh["ratio"] == pytest.approx((0.9 * 1.1) ** 0.5)
    assert stale["p_value_holm"] == pytest.approx(2 * 2 / 2**8)
    said = "Entropy at the end against GRPO: higher: ABC-GRPO (1.50 ×, stale); inconclusive: 1 of 2 comparisons."
    assert said in report["verdict"]
    write(load([directory]), tmp_path / "report")
    page, text = ((tmp_path / "report" / name).read_text() for name in ("report.html", "report.md"))
    assert '<span class="badge higher">higher</span>' in page
    assert "| stale | ABC-GRPO / GRPO | 1.50 [1.50, 1.50] |" in text


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    """The report of a ladder on whose last rung rules come apart, and of one on which nothing does."""
    base = tmp_path_factory.mktemp("ladders")
    for name, gains in (("apart", (0, 0, 2)), ("alike", (0, 0, 0))):
        ladder(base / name, gains, steps=4)
    return {name: summarize(load([base / name])) for name in ("apart", "alike")}


def test_when_the_rule_matters_is_said_condition_by_condition(climbed):
    found = climbed["apart"]["conditions"]
    assert found["names"] == list(LADDER)
    assert found["sentences"] == [
        "The rule matters under 16 mini-batches.",
        "16 mini-batches: better than GRPO: open (Avg@2, Pass@2); worse than GRPO: ABC-GRPO (Avg@2, Pass@2).",
        "Under 1 mini-batch and 4 mini-batches no arm is told apart from GRPO.",
    ]
    # The furthest rule removes half as much again as GRPO's, or nothing: both are as far as GRPO's own removed mass.
    means = [mass * (1 + 2 + 3 + 4) / 16 for mass in LADDER.values()]
    assert list(found["gradient"].values()) == pytest.approx(means)
    assert climbed["apart"]["another_rule"][0].startswith("GRPO, 1 mini-batch: no. No ratio left 1")
    assert climbed["apart"]["another_rule"][2].startswith("GRPO, 16 mini-batches: somewhat.")
    assert len(climbed["apart"]["another_rule"]) == 3  # of the baseline; every arm has its own
    assert climbed["apart"]["arms"]["open, 16 mini-batches"]["another_rule"].startswith("open, 16 mini-batches: ")


def test_a_ladder_that_tells_nothing_apart_is_called_uninformative(climbed):
    first, last = climbed["alike"]["conditions"]["sentences"]
    assert first.startswith("Under none of the 3 conditions is an arm told apart from GRPO: all 12 comparisons")
    assert last == (
        "Under 16 mini-batches even open, which bounds nothing, is not told apart from GRPO: the conditions are "
        "uninformative."
    )


def test_an_open_arm_beside_others_that_are_told_apart(tmp_path):
    ladder(tmp_path / "study", steps=4)
    records = load([tmp_path / "study"])
    summary = summarize(records)
    comparisons = [
        each | {"verdict": "inconclusive" if each["arm"] == "open" else each["verdict"]}
        for each in summary["comparisons"]
    ]
    found = conditions(records, comparisons, summary["arms"])
    assert found is not None
    assert found["sentences"] == [
        "The rule matters under 16 mini-batches.",
        "16 mini-batches: worse than GRPO: ABC-GRPO (Avg@2, Pass@2).",
        "Under 1 mini-batch and 4 mini-batches no arm is told apart from GRPO.",
        "Under 16 mini-batches even open, which bounds nothing, is not told apart from GRPO: what GRPO's own bound "
        "does is not known.",
    ]


def test_the_table_has_an_arm_a_row_and_a_condition_a_column(climbed):
    average, passes = condition_tables(climbed["apart"])
    assert (average.title, passes.title, average.baseline) == ("Avg@2", "Pass@2", "GRPO")
    assert {arm: [each["verdict"] for each in cells] for arm, cells in average.rows.items()} == {
        "open": ["inconclusive", "inconclusive", "better"],
        "ABC-GRPO": ["inconclusive", "inconclusive", "worse"],
    }
    assert average.rows["open"][2]["difference"] == pytest.approx(2 / 16)
    # An arm that has no run under a condition keeps its place.
    summary = climbed["apart"]
    left = [each for each in summary["comparisons"] if (each["arm"], each["condition"]) != ("open", "1 mini-batch")]
    assert condition_tables(summary | {"comparisons": left})[0].rows["open"][0] is None


def test_without_conditions_there_is_no_such_table(tmp_path):
    specification(tmp_path / "study")
    for arm in ("GRPO", "ABC-GRPO"):
        run(tmp_path / "study", 1.0, [1, 2], arm=arm)
    report = summarize(load([tmp_path / "study"]))
    assert report["conditions"] is None
    assert condition_tables(report) == []


def test_the_terminal_leaves_many_comparisons_to_its_tables(climbed):
    said = terminal_sentences(climbed["apart"])
    assert said[0] == "The rule matters under 16 mini-batches."
    assert not {each["sentence"] for each in climbed["apart"]["comparisons"]} & set(said)
    assert any(line.startswith("Would another rule have mattered? GRPO, 16 mini-batches") for line in said)
    assert len(list(terminal_tables(climbed["apart"], 80))) == 4  # scores, and a table for each condition
