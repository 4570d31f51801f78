"""The comparison of evaluations: what is paired, what the family is, and the rule."""

from dataclasses import replace

import numpy as np
import pytest

from abcgrpo.comparison.compare import COVERS_ALL, COVERS_EVALUATION, Scores, against_one, compare, limits, paired
from abcgrpo.evaluation.intervals import of_differences
from abcgrpo.evaluation.metrics import average, pass_at_k
from measurements import comparison_coverage as simulation

SAMPLES = 16
METRICS = ("avg@4", "pass@2", "pass@4")
PRIMARY = ("avg@4", "pass@4")


def scores(right: np.ndarray, clusters: list[str] | None = None) -> Scores:
    """Of samples (questions, samples)."""
    correct = right.sum(axis=1)
    passes = {f"pass@{k}": pass_at_k(correct, SAMPLES, k) for k in (2, 4)}
    questions = [f"q{index:03}" for index in range(len(right))]
    return Scores(questions, {"avg@4": average(correct, SAMPLES)} | passes, clusters)


def answers(rates: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A run that answers each question right at its rate."""
    return generator.random((len(rates), SAMPLES)) < rates[:, None]


def runs(seeds: int, gains: dict[str, float], seed: int = 0, deviation: float = 0.02) -> dict:
    """Runs of every arm on the same 60 questions."""
    generator = np.random.default_rng(seed)
    rates = generator.uniform(0.2, 0.6, 60)
    return {
        arm: {
            s: scores(answers(rates + gain + deviation * generator.standard_normal(), generator)) for s in range(seeds)
        }
        for arm, gain in gains.items()
    }


def by_key(found):
    return {(each.arm, each.metric): each for each in found}


def test_better_worse_and_inconclusive():
    arms = ["baseline", "up", "down", "same"]
    measured = runs(10, dict(zip(arms, [0.0, 0.15, -0.15, 0.0], strict=True)))
    found = by_key(compare({"benchmark": measured}, arms, PRIMARY))
    assert {arm: found[arm, "avg@4"].verdict for arm in arms[1:]} == {
        "up": "better",
        "down": "worse",
        "same": "inconclusive",
    }
    up = found["up", "avg@4"]
    differences = [measured["up"][s].values["avg@4"] - measured["baseline"][s].values["avg@4"] for s in range(10)]
    assert up.difference == pytest.approx(np.mean(differences))
    assert up.low < 0.15 < up.high
    assert up.covers == COVERS_ALL
    assert up.p_value == pytest.approx(2 / 2**10)
    assert up.p_value_holm == pytest.approx(6 * 2 / 2**10)  # the smallest of three arms × two metrics
    assert up.probability_of_improvement == 1.0
    assert found["down", "avg@4"].probability_of_improvement == 0.0
    assert 0 < up.detectable_effect < 0.15
    assert "up against baseline on benchmark, 10 seeds: Avg@4 +1" in up.sentence
    assert up.sentence.endswith("Holm p 0.012: better, if questions are independent.")


def test_a_metric_outside_the_family_is_described_and_gets_no_verdict():
    found = by_key(compare({"b": runs(10, {"baseline": 0.0, "up": 0.2})}, ["baseline", "up"], PRIMARY))
    other = found["up", "pass@2"]
    assert other.low > 0
    assert (other.p_value_holm, other.detectable_effect, other.verdict) == (None, None, "inconclusive")
    assert not other.in_family
    assert found["up", "pass@4"].in_family
    assert "outside the family" in other.sentence


def test_five_seeds_conclude_nothing_however_large_the_difference():
    found = by_key(compare({"b": runs(5, {"baseline": 0.0, "up": 0.3})}, ["baseline", "up"], PRIMARY))
    up = found["up", "avg@4"]
    assert up.low > 0.2
    assert up.p_value == 0.0625
    assert up.p_value_holm == pytest.approx(0.125)
    assert (up.verdict, up.detectable_effect) == ("inconclusive", None)


def test_a_small_p_without_an_interval_off_zero_is_inconclusive():
    """Seeds that agree on few questions that disagree: these questions favour the arm, others might not."""
    generator = np.random.default_rng(0)
    rates = generator.uniform(0.2, 0.6, 60)
    measured = {"baseline": {}, "up": {}}
    for seed in range(10):
        right = answers(rates, generator)
        for arm in measured:
            right[:2] = arm == "up"  # two questions of sixty: always solved by one arm and never by the other
            measured[arm][seed] = scores(right)
    up = by_key(compare({"b": measured}, ["baseline", "up"], PRIMARY))["up", "avg@4"]
    assert up.p_value == pytest.approx(2 / 2**10)
    assert up.p_value_holm > 0.05
    assert up.low < 0 < up.high
    assert up.verdict == "inconclusive"


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_cover_evaluation_noise_only(seeds):
    measured = runs(seeds, {"baseline": 0.0, "up": 0.3})
    up = by_key(compare({"b": measured}, ["baseline", "up"], PRIMARY))["up", "avg@4"]
    differences = [measured["up"][s].values["avg@4"] - measured["baseline"][s].values["avg@4"] for s in range(seeds)]
    expected = of_differences(np.mean(differences, axis=0))
    assert (up.difference, up.low, up.high) == pytest.approx(tuple(expected))
    assert up.low > 0
    assert up.covers == COVERS_EVALUATION
    assert (up.p_value, up.p_value_holm, up.detectable_effect) == (None, None, None)
    assert up.verdict == "inconclusive"
    assert "evaluation noise only" in up.sentence


def test_runs_are_paired_by_seed_and_question():
    measured = runs(8, {"baseline": 0.0, "up": 0.1})
    del measured["up"][0]
    measured["baseline"][7] = replace(measured["baseline"][7], questions=["others"] * 60)
    up = by_key(compare({"b": measured}, ["baseline", "up"], PRIMARY))["up", "avg@4"]
    assert up.seeds == 6
    assert up.left_out == [7]
    assert up.sentence.endswith("Seed 7 left out: measured on other questions than the rest.")
    expected = np.mean(
        [measured["up"][s].values["avg@4"] - measured["baseline"][s].values["avg@4"] for s in range(1, 7)]
    )
    assert up.difference == pytest.approx(expected)


def without(run: Scores, questions: int) -> Scores:
    """The run without its last questions."""
    return Scores(run.questions[:-questions], {name: each[:-questions] for name, each in run.values.items()})


def test_a_first_seed_that_lacks_questions_does_not_decide_which_are_compared():
    """One seed of eight lacks two questions: it is left out, and not the seven that have them."""
    measured = runs(8, {"baseline": 0.0, "up": 0.1})
    for arm in measured:
        measured[arm][0] = without(measured[arm][0], 2)
    pairs = paired(measured, "up", "baseline")
    assert pairs.left_out == [0]
    assert pairs.differences("avg@4").shape == (7, 60)
    up = by_key(compare({"b": measured}, ["baseline", "up"], PRIMARY))["up", "avg@4"]
    assert (up.seeds, up.left_out) == (7, [0])
    assert "Seed 0 left out" in up.sentence


def test_a_model_without_seeds_has_the_same_interval_and_no_p():
    measured = runs(8, {"baseline": 0.0, "up": 0.1})
    base = measured["baseline"][0]
    found = {each.metric: each for each in against_one("b", "up", measured["up"], "base", base)}
    same = compare({"b": {"base": dict.fromkeys(range(8), base), "up": measured["up"]}}, ["base", "up"], PRIMARY)
    for each in same:
        other = found[each.metric]
        assert (other.difference, other.low, other.high) == (each.difference, each.low, each.high)
        assert (other.p_value, other.p_value_holm, other.in_family) == (None, None, False)
        assert "base has no training seeds" in other.sentence
    assert found["avg@4"].relative == pytest.approx(found["avg@4"].difference / base.values["avg@4"].mean())


def test_what_clusters_share_is_no_verdict():
    """Three contests of ten in favour of the arm, three against it, by the same amount for every question and seed."""
    contests = [f"contest {index // 10}" for index in range(60)]
    gain = np.repeat([0.25, 0.25, 0.25, 0.25, -0.06, -0.06], 10)
    generator = np.random.default_rng(3)
    rates = generator.uniform(0.2, 0.6, 60)

    def verdict(clusters):
        generator = np.random.default_rng(4)
        measured = {
            arm: {seed: scores(answers(rates + more, generator), clusters) for seed in range(10)}
            for arm, more in (("baseline", 0.0), ("up", gain))
        }
        return by_key(compare({"b": measured}, ["baseline", "up"], PRIMARY))["up", "avg@4"]

    assert (verdict(None).verdict, verdict(None).clusters) == ("better", None)
    assert (verdict(contests).verdict, verdict(contests).clusters) == ("inconclusive", 6)
    assert verdict(None).sentence.endswith("better, if questions are independent.")
    assert verdict(contests).sentence.endswith("inconclusive.")
    assert verdict(contests).difference == pytest.approx(verdict(None).difference)


def test_a_difference_that_few_questions_carry_is_said():
    """One question of sixty that one arm alone solves; then all of them differ a little."""
    generator = np.random.default_rng(0)
    right = answers(np.full(60, 0.4), generator)
    other = right.copy()
    other[0] = ~other[0]
    measured = {"baseline": dict.fromkeys(range(8), scores(right)), "up": dict.fromkeys(range(8), scores(other))}
    found = by_key(compare({"b": measured}, ["baseline", "up"], PRIMARY))["up", "avg@4"]
    assert found.few_questions
    assert "Fewer than four questions carry this difference" in found.sentence
    assert not any(each.few_questions for each in compare({"b": runs(8, {"a": 0.0, "b": 0.1})}, ["a", "b"], PRIMARY))


def test_an_arm_without_runs_keeps_its_place_in_the_family():
    measured = runs(8, {"baseline": 0.0, "up": 0.3})
    alone = by_key(compare({"b": measured}, ["baseline", "up"], PRIMARY))["up", "avg@4"]
    planned = by_key(compare({"b": measured}, ["baseline", "failed", "up"], PRIMARY))
    assert set(planned) == {("up", metric) for metric in METRICS}
    assert alone.p_value_holm == pytest.approx(2 * 2 / 2**8)
    assert planned["up", "avg@4"].p_value_holm == pytest.approx(4 * 2 / 2**8)
    assert compare({"b": {"up": measured["up"]}}, ["baseline", "up"], PRIMARY) == []


def test_several_benchmarks_are_one_family():
    measured = runs(8, {"baseline": 0.0, "up": 0.3})
    found = compare({"one": measured, "two": measured}, ["baseline", "up"], PRIMARY)
    assert [each.p_value_holm for each in found if each.metric == "avg@4"] == [pytest.approx(4 * 2 / 2**8)] * 2


def test_what_is_said_before_an_experiment_is_run():
    assert "evaluation noise only" in limits(2, 2)
    assert "is 0.0625, 0.375 after Holm's correction over 6" in limits(5, 6)
    assert "another verdict needs 8 seeds" in limits(5, 6)
    assert limits(8, 6) is None


def test_an_effect_that_clusters_of_six_share_gives_no_false_verdicts_where_they_are_counted():
    """Experiments with three arms that are no better, of which at most 5% may hold a verdict."""
    setting = simulation.SETTINGS["no difference, clusters share 0.3"]
    counted, ignored = (1 - simulation.verdicts(setting, 4, 8, 30, 500, each)["none"] for each in (True, False))
    assert counted < 0.08
    assert ignored > 0.25


def test_three_seeds_on_many_questions_are_covered():
    """With MS_seeds alone in the degrees of freedom it is 91 to 93%."""
    average, passes = simulation.coverage(simulation.SETTINGS["no difference, as in the study"], 3, 128, 2000)
    assert average["used"] == pytest.approx(0.95, abs=0.02)
    assert passes["used"] == pytest.approx(0.95, abs=0.02)


@pytest.mark.slow
def test_a_small_run_of_the_simulation():
    """Bounds wide enough for 400 draws."""
    settings, coverage, verdicts = simulation.SETTINGS, simulation.coverage, simulation.verdicts
    names = ("no difference, as in the study", "a difference, seeds vary more")
    for name in names:
        for found in coverage(settings[name], seeds=5, questions=30, simulations=400):
            assert 0.91 <= found["used"] <= 0.99
    assert coverage(settings[names[1]], 5, 128, 400)[0]["bootstrap, seeds alone"] < 0.9
    assert verdicts(settings[names[0]], 4, 8, 30, 400)["none"] >= 0.93
    assert verdicts(settings["a difference, as in the study"], 2, 10, 128, 400)["better"] > 0.5
