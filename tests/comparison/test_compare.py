"""The comparison of evaluations: what is paired, what the family is, and the rule."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from abcgrpo.comparison.compare import COVERS_ALL, COVERS_EVALUATION, compare, limits
from abcgrpo.evaluation.intervals import of_differences
from abcgrpo.evaluation.metrics import average, pass_at_k
from abcgrpo.evaluation.store import Evaluation

SAMPLES = 16
METRICS = {
    "avg@4": lambda evaluation: average(evaluation.correct, SAMPLES),
    "pass@2": lambda evaluation: pass_at_k(evaluation.correct, SAMPLES, 2),
    "pass@4": lambda evaluation: pass_at_k(evaluation.correct, SAMPLES, 4),
}
PRIMARY = ("avg@4", "pass@4")


def evaluation(rates: np.ndarray, generator: np.random.Generator) -> Evaluation:
    """A run that answers each question right at its rate."""
    right = generator.random((len(rates), SAMPLES)) < rates[:, None]
    questions = [f"q{index:03}" for index in range(len(rates))]
    return Evaluation({"samples": SAMPLES}, questions, right, [], Counter(), 0.0, 5.0, [])


def runs(seeds: int, gains: dict[str, float], seed: int = 0, deviation: float = 0.02) -> dict:
    """Runs of every arm on the same 60 questions."""
    generator = np.random.default_rng(seed)
    rates = generator.uniform(0.2, 0.6, 60)
    return {
        arm: {s: evaluation(rates + gain + deviation * generator.standard_normal(), generator) for s in range(seeds)}
        for arm, gain in gains.items()
    }


def by_key(found):
    return {(each.arm, each.metric): each for each in found}


def test_better_worse_and_inconclusive():
    arms = ["baseline", "up", "down", "same"]
    measured = runs(10, dict(zip(arms, [0.0, 0.15, -0.15, 0.0], strict=True)))
    found = by_key(compare({"benchmark": measured}, arms, METRICS, PRIMARY))
    assert {arm: found[arm, "avg@4"].verdict for arm in arms[1:]} == {
        "up": "better",
        "down": "worse",
        "same": "inconclusive",
    }
    up = found["up", "avg@4"]
    differences = [METRICS["avg@4"](measured["up"][s]) - METRICS["avg@4"](measured["baseline"][s]) for s in range(10)]
    assert up.difference == pytest.approx(np.mean(differences))
    assert up.low < 0.15 < up.high
    assert up.covers == COVERS_ALL
    assert up.p_value == pytest.approx(2 / 2**10)
    assert up.p_value_holm == pytest.approx(6 * 2 / 2**10)  # the smallest of three arms × two metrics
    assert up.probability_of_improvement == 1.0
    assert found["down", "avg@4"].probability_of_improvement == 0.0
    assert 0 < up.detectable_effect < 0.15
    assert "up against baseline on benchmark, 10 seeds: Avg@4 +1" in up.sentence
    assert up.sentence.endswith("Holm p 0.012: better.")


def test_a_metric_outside_the_family_is_described_and_gets_no_verdict():
    found = by_key(compare({"b": runs(10, {"baseline": 0.0, "up": 0.2})}, ["baseline", "up"], METRICS, PRIMARY))
    other = found["up", "pass@2"]
    assert other.low > 0
    assert (other.p_value_holm, other.detectable_effect, other.verdict) == (None, None, "inconclusive")
    assert not other.in_family
    assert found["up", "pass@4"].in_family
    assert "outside the family" in other.sentence


def test_five_seeds_conclude_nothing_however_large_the_difference():
    found = by_key(compare({"b": runs(5, {"baseline": 0.0, "up": 0.3})}, ["baseline", "up"], METRICS, PRIMARY))
    up = found["up", "avg@4"]
    assert up.low > 0.2
    assert up.p_value == 0.0625
    assert up.p_value_holm == pytest.approx(0.125)
    assert (up.verdict, up.detectable_effect) == ("inconclusive", None)


def test_a_small_p_without_an_interval_off_zero_is_inconclusive():
    """Seeds that agree on few questions that disagree: these questions favour the arm, others might not."""
    measured = runs(10, {"baseline": 0.0, "up": 0.0}, deviation=0.0)
    gain = np.zeros((60, SAMPLES), dtype=bool)
    gain[:2] = True  # two questions of sixty are always solved by one arm and never by the other
    for s in range(10):
        measured["up"][s] = replace(measured["baseline"][s], right=measured["baseline"][s].right | gain)
        measured["baseline"][s] = replace(measured["baseline"][s], right=measured["baseline"][s].right & ~gain)
    up = by_key(compare({"b": measured}, ["baseline", "up"], METRICS, PRIMARY))["up", "avg@4"]
    assert up.p_value == pytest.approx(2 / 2**10)
    assert up.p_value_holm > 0.05
    assert up.low < 0 < up.high
    assert up.verdict == "inconclusive"


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_cover_evaluation_noise_only(seeds):
    measured = runs(seeds, {"baseline": 0.0, "up": 0.3})
    up = by_key(compare({"b": measured}, ["baseline", "up"], METRICS, PRIMARY))["up", "avg@4"]
    metric = METRICS["avg@4"]
    differences = [metric(measured["up"][s]) - metric(measured["baseline"][s]) for s in range(seeds)]
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
    up = by_key(compare({"b": measured}, ["baseline", "up"], METRICS, PRIMARY))["up", "avg@4"]
    assert up.seeds == 6
    metric = METRICS["avg@4"]
    expected = np.mean([metric(measured["up"][s]) - metric(measured["baseline"][s]) for s in range(1, 7)])
    assert up.difference == pytest.approx(expected)


def test_an_arm_without_runs_keeps_its_place_in_the_family():
    measured = runs(8, {"baseline": 0.0, "up": 0.3})
    alone = by_key(compare({"b": measured}, ["baseline", "up"], METRICS, PRIMARY))["up", "avg@4"]
    planned = by_key(compare({"b": measured}, ["baseline", "failed", "up"], METRICS, PRIMARY))
    assert set(planned) == {("up", metric) for metric in METRICS}
    assert alone.p_value_holm == pytest.approx(2 * 2 / 2**8)
    assert planned["up", "avg@4"].p_value_holm == pytest.approx(4 * 2 / 2**8)
    assert compare({"b": {"up": measured["up"]}}, ["baseline", "up"], METRICS, PRIMARY) == []


def test_several_benchmarks_are_one_family():
    measured = runs(8, {"baseline": 0.0, "up": 0.3})
    found = compare({"one": measured, "two": measured}, ["baseline", "up"], METRICS, PRIMARY)
    assert [each.p_value_holm for each in found if each.metric == "avg@4"] == [pytest.approx(4 * 2 / 2**8)] * 2


def test_what_is_said_before_an_experiment_is_run():
    assert "evaluation noise only" in limits(2, 2)
    assert "is 0.0625, 0.375 after Holm's correction over 6" in limits(5, 6)
    assert "it takes 8 seeds" in limits(5, 6)
    assert limits(8, 6) is None


@pytest.mark.slow
def test_a_small_run_of_the_simulation(monkeypatch):
    """`benchmarks/comparison_coverage.py`, which docs/comparison.md has in full: bounds wide enough for 400 draws."""
    import sys
    from pathlib import Path

    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    monkeypatch.delitem(sys.modules, "comparison_coverage", raising=False)
    from comparison_coverage import SETTINGS, coverage, verdicts  # pyright: ignore[reportMissingImports]

    names = ("no difference, as in the study", "a difference, seeds vary more")
    for name in names:
        for found in coverage(SETTINGS[name], seeds=5, questions=30, simulations=400):
            assert 0.91 <= found["used"] <= 0.99
    assert coverage(SETTINGS[names[1]], 5, 128, 400)[0]["bootstrap, seeds alone"] < 0.9
    assert verdicts(SETTINGS[names[0]], 4, 8, 30, 400)["none"] >= 0.93
    assert verdicts(SETTINGS["a difference, as in the study"], 2, 10, 128, 400)["better"] > 0.5
