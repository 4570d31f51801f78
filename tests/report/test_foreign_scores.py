"""Scores from anywhere: the figures of the report of the same experiment, and those of scipy."""

import csv
import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from scipy import stats
from typer.testing import CliRunner

from abcgrpo.cli.app import app
from abcgrpo.errors import UserError
from abcgrpo.files import read_json
from abcgrpo.report.content.summary import summarize
from abcgrpo.report.reading.foreign_scores import load_scores
from abcgrpo.report.reading.records import load
from abcgrpo.report.write import write
from tests.report.experiments import evaluation, run, specification

SEEDS = range(7)
ARMS = {"GRPO": 0, "ABC-GRPO": 1}


def right(arm, seed):
    return [3 + q % 5 + seed % 3 + ARMS[arm] * (q % 3) for q in range(12)]


@pytest.fixture
def experiment(tmp_path):
    directory = tmp_path / "study"
    specification(directory, seeds=SEEDS)
    for seed in SEEDS:
        for arm in ARMS:
            run(directory, 1.0, [0], arm=arm, seed=seed)
            job = directory / "arms" / arm / f"seed-{seed}"
            evaluation(job / "evaluation/checkpoint-3/countdown", right(arm, seed), samples=16)
    return directory


def written(path, columns, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return str(path)


@pytest.fixture
def counts(tmp_path):
    rows = [
        (arm, seed, f"q{q}", "countdown", correct, 16)
        for arm in ARMS
        for seed in SEEDS
        for q, correct in enumerate(right(arm, seed))
    ]
    return written(tmp_path / "scores.csv", ("arm", "seed", "question", "benchmark", "correct", "n"), rows)


def test_figures_are_those_of_the_report_of_the_same_experiment(experiment, counts):
    ours, theirs = summarize(load([experiment])), summarize(load_scores([counts], pass_at_k=[2]))
    assert theirs["comparisons"] == ours["comparisons"]
    logged = [sentence for sentence in ours["verdict"] if sentence.startswith("Entropy at the end")]
    assert len(logged) == 1  # scores from elsewhere come without a log
    assert [*theirs["verdict"], *logged] == ours["verdict"]
    assert theirs["comparisons"][0]["verdict"] == "better"
    for arm in ARMS:
        found = [content["arms"][arm]["evaluation"]["countdown"] for content in (ours, theirs)]
        assert found[0]["avg@2"] == found[1]["avg@2"]
        assert found[0]["pass@2"] == found[1]["pass@2"]


def test_a_reports_own_scores_give_its_comparisons_again(experiment, tmp_path):
    ours = write(load([experiment]), tmp_path / "report")
    theirs = summarize(load_scores([str(tmp_path / "report" / "scores.csv")], pass_at_k=[2]))
    assert theirs["comparisons"] == ours["comparisons"]


def test_one_row_for_each_answer_is_the_same(counts, tmp_path):
    rows = [
        (arm, seed, f"q{q}", "countdown", int(sample < correct))
        for arm in ARMS
        for seed in SEEDS
        for q, correct in enumerate(right(arm, seed))
        for sample in range(16)
    ]
    answers = written(tmp_path / "answers.csv", ("arm", "seed", "question", "benchmark", "score"), rows)
    assert summarize(load_scores([answers]))["comparisons"] == summarize(load_scores([counts]))["comparisons"]


def test_where_scipy_has_the_figure_it_is_scipys(tmp_path):
    """One seed: Student's paired interval. Several seeds on questions that all differ alike: the sign-flip p, and the
    interval over seeds."""
    generator = np.random.default_rng(0)
    base, gain = generator.uniform(0.2, 0.6, 40), generator.normal(0.05, 0.1, 40)
    values = {"a": base, "b": base + gain}
    rows = [(arm, 0, q, float(v)) for arm, of in values.items() for q, v in enumerate(of)]
    (found,) = summarize(load_scores([written(tmp_path / "one.csv", ("arm", "seed", "question", "score"), rows)]))[
        "comparisons"
    ]
    expected = stats.ttest_rel(values["b"], values["a"]).confidence_interval()
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
    assert (found["metric"], found["covers"]) == ("score", "evaluation noise only")

    shift = generator.normal(0.05, 0.03, 8)
    noise = generator.normal(0, 0.05, (8, 40))
    noise -= noise.mean(axis=0) + noise.mean(axis=1, keepdims=True)
    rows = [("a", s, q, float(base[q])) for s in range(8) for q in range(40)]
    rows += [("b", s, q, float(base[q] + shift[s] + noise[s, q])) for s in range(8) for q in range(40)]
    (found,) = summarize(load_scores([written(tmp_path / "many.csv", ("arm", "seed", "question", "score"), rows)]))[
        "comparisons"
    ]
    by_seed = shift + noise.mean(axis=1)
    expected = stats.ttest_1samp(by_seed, 0).confidence_interval()
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
    p = stats.permutation_test((by_seed,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert found["p_value"] == pytest.approx(p)


def test_the_command_writes_the_page(counts, tmp_path):
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["compare", counts, "--output", str(out), "--baseline", "ABC-GRPO"])
    assert result.exit_code == 0, result.output
    assert "Worse than ABC-GRPO" in result.output
    report = read_json(out / "report.json")
    assert report["reference"] == "ABC-GRPO"
    page = (out / "report.html").read_text()
    assert "Is one better?" in page
    assert 'id="training"' not in page
    assert (out / "figures" / "comparison.png").exists()


def test_scores_that_are_not_0_or_1_have_a_page_too(tmp_path):
    rows = [(arm, s, q, 0.1 * s + 0.05 * q) for arm in "ab" for s in range(3) for q in range(6)]
    path = written(tmp_path / "scores.csv", ("arm", "seed", "question", "score"), rows)
    report = write(load_scores([path]), tmp_path / "out")
    assert [each["metric"] for each in report["comparisons"]] == ["score"]
    with pytest.raises(UserError, match="no effect"):
        load_scores([path], pass_at_k=[2])


def test_clusters_are_counted(tmp_path):
    rows = [(arm, 0, q, f"c{q // 2}", (q * 7 % 10) / 10) for arm in "ab" for q in range(12)]
    path = written(tmp_path / "scores.csv", ("arm", "seed", "question", "cluster", "score"), rows)
    assert summarize(load_scores([path]))["comparisons"][0]["clusters"] == 6


def test_logs_of_inspect_ai_and_lighteval(tmp_path):
    """Two answers to each of six questions; inspect-ai's epochs, lighteval's rows."""
    grades = {arm: [[(q + e + (arm == "b")) % 3 == 0 for e in range(2)] for q in range(6)] for arm in "ab"}
    for arm, of in grades.items():
        samples = [
            {"id": f"q{q}", "epoch": e + 1, "scores": {"match": {"value": "C" if right else "I"}}}
            for q, answers in enumerate(of)
            for e, right in enumerate(answers)
        ]
        (tmp_path / f"{arm}.json").write_text(json.dumps({"eval": {}, "samples": samples}))
        table = [
            {"doc": {"id": f"q{q}"}, "metric": {"extractive_match": float(right)}}
            for q, answers in enumerate(of)
            for right in answers
        ]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), tmp_path / f"{arm}.parquet")
    inspect, lighteval = (
        summarize(load_scores([f"{arm}:0={tmp_path / arm}.{suffix}" for arm in "ab"]))["comparisons"]
        for suffix in ("json", "parquet")
    )
    assert inspect == lighteval
    expected = np.mean(grades["b"]) - np.mean(grades["a"])
    assert inspect[0]["difference"] == pytest.approx(expected)


BROKEN = {
    "no column": ("arm,seed,question\na,0,q\n", "score or correct and n"),
    "both kinds": ("arm,seed,question,score,correct,n\na,0,q,1,1,1\n", "leave one of them out"),
    "an unknown column": ("arm,seed,question,score,colour\na,0,q,1,red\n", "unknown columns: colour"),
    "a score above 1": ("arm,seed,question,score\na,0,q,7\n", "line 2: the score '7'"),
    "no number": ("arm,seed,question,score\na,0,q,good\n", "line 2: the score 'good'"),
    "a seed that is a word": ("arm,seed,question,score\na,x,q,1\n", "line 2: seed should be a whole number"),
    "more right than answers": ("arm,seed,question,correct,n\na,0,q,3,2\n", "line 2: 3 right answers of 2"),
    "unequal answers": (
        "arm,seed,question,correct,n\na,0,q,1,2\na,0,r,1,2\na,0,s,1,3\n",
        "3 answers to the question s",
    ),
    "nothing": ("arm,seed,question,score\n", "has no rows"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_with_the_row(tmp_path, content, message):
    path = tmp_path / "scores.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        load_scores([str(path)])


def test_other_sources_are_refused(tmp_path, counts):
    with pytest.raises(UserError, match="ARM:SEED=FILE"):
        load_scores([f"GRPO={counts}"])
    with pytest.raises(UserError, match="no arm 'x'"):
        load_scores([counts], baseline="x")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UserError, match="inspect log convert"):
        load_scores([f"a:0={tmp_path / 'a.json'}"])
    (tmp_path / "a.parquet").write_text("{}")
    with pytest.raises(UserError, match="not a details file of lighteval"):
        load_scores([f"a:0={tmp_path / 'a.parquet'}"])
