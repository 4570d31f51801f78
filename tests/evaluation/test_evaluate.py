"""Evaluation of the shipped base: what is kept, and that an interrupted one goes on with the same samples."""

import dataclasses
import fcntl
import json

import numpy as np
import pytest

from abcgrpo.errors import UserError
from abcgrpo.evaluation.evaluate import evaluate, prompt_hash, sampling_of
from abcgrpo.evaluation.growth import blocks
from abcgrpo.evaluation.options import EvaluationOptions
from abcgrpo.evaluation.results import Metrics, powers_of_two, results
from abcgrpo.evaluation.sampling import Sampling, request_batches
from abcgrpo.evaluation.store import SAMPLES, SETTINGS, SampleStore, read_evaluation
from abcgrpo.files import read_json_lines
from abcgrpo.tasks import get_task
from abcgrpo.tasks.benchmarks import load_benchmark
from abcgrpo.tasks.countdown import TASK, verify

BENCHMARK = load_benchmark("countdown", questions=6)
OPTIONS = EvaluationOptions(max_new_tokens=48, samples=8, batch_size=16)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("evaluation")
    evaluate("countdown-base", BENCHMARK, OPTIONS, directory)
    return directory


def test_every_sample_is_kept_and_its_verdict_can_be_checked(undisturbed):
    lines = list(read_json_lines(undisturbed / SAMPLES))
    questions = {row["id"]: row for row in TASK.held_out_rows(6)}
    assert sorted((line["problem"], line["sample"]) for line in lines) == [
        (question, sample) for question in sorted(questions) for sample in range(8)
    ]
    for line in lines:
        row = questions[line["problem"]]
        assert line["correct"] == verify(line["text"], row["numbers"], row["target"])
        assert line["reason"] == ("exact" if line["correct"] else "different")
        assert line["finish_reason"] in ("stop", "length")
        assert line["prompt_sha256"] == prompt_hash(row["problem"])
    assert len({line["seed"] for line in lines}) == 48
    evaluation = read_evaluation(undisturbed)
    assert evaluation.correct.sum() == sum(line["correct"] for line in lines) > 0
    assert evaluation.mean_tokens == np.mean([line["tokens"] for line in lines])


@pytest.mark.parametrize("kept", [0, 1, 16, 17, 40, 47])
def test_an_interrupted_evaluation_ends_as_an_undisturbed_one(undisturbed, tmp_path, kept):
    for path in undisturbed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    lines = (undisturbed / SAMPLES).read_text().splitlines(keepends=True)
    (tmp_path / SAMPLES).write_text("".join(lines[:kept]) + lines[kept][:20])  # killed in the middle of a line
    evaluate("countdown-base", BENCHMARK, OPTIONS, tmp_path)
    assert sorted((tmp_path / SAMPLES).read_text().splitlines()) == sorted(line.rstrip("\n") for line in lines)


def test_finished_samples_are_neither_drawn_nor_graded_again(undisturbed):
    def never(*_, **__):
        raise AssertionError

    before = (undisturbed / SAMPLES).read_bytes()
    task = dataclasses.replace(BENCHMARK.task, grade=never)
    evaluate("countdown-base", dataclasses.replace(BENCHMARK, task=task), OPTIONS, undisturbed, opened=never)
    assert (undisturbed / SAMPLES).read_bytes() == before


OTHERS = {
    "temperature": {"temperature": 0.7},
    "seed": {"seed": 1},
    "batch_size": {"batch_size": 8},
    "samples": {"samples": 7},
}


@pytest.mark.parametrize(("name", "change"), OTHERS.items(), ids=OTHERS)
def test_other_settings_are_not_mixed_in(undisturbed, name, change):
    before = (undisturbed / SAMPLES).read_bytes()
    with pytest.raises(UserError, match=name):
        evaluate("countdown-base", BENCHMARK, OPTIONS.model_copy(update=change), undisturbed)
    assert (undisturbed / SAMPLES).read_bytes() == before


def test_another_prompt_is_not_mixed_in(undisturbed):
    other = BENCHMARK.task.template.changed("{problem}\n")
    with pytest.raises(UserError, match="prompt_template"):
        evaluate("countdown-base", BENCHMARK, OPTIONS, undisturbed, template=other)


def test_another_model_or_other_questions_are_not_mixed_in(undisturbed, tmp_path):
    from abcgrpo.tasks.countdown import BASE_MODEL

    for path in BASE_MODEL.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = json.loads((tmp_path / "generation_config.json").read_text())
    (tmp_path / "generation_config.json").write_text(json.dumps(content | {"temperature": 0.9}))
    with pytest.raises(UserError, match="model_fingerprint"):
        evaluate(str(tmp_path), BENCHMARK, OPTIONS, undisturbed)
    with pytest.raises(UserError, match="questions_sha256"):
        evaluate("countdown-base", load_benchmark("countdown", questions=5), OPTIONS, undisturbed)


def test_two_processes_do_not_add_to_the_same_samples(undisturbed):
    with (undisturbed / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="Another process"):
            evaluate("countdown-base", BENCHMARK, OPTIONS, undisturbed)


def test_samples_that_are_strange_or_doubled_are_refused(tmp_path):
    store = SampleStore(tmp_path, {"model": "m"})
    store.append([{"problem": "p", "sample": 0}, {"problem": "p", "sample": 0}])
    with pytest.raises(UserError, match="twice"):
        store.kept([[("p", 0), ("p", 1)]])
    with pytest.raises(UserError, match="does not belong to this evaluation"):
        store.kept([[("q", 0)]])


def test_missing_samples_are_said(undisturbed, tmp_path):
    (tmp_path / SETTINGS).write_text((undisturbed / SETTINGS).read_text())
    with pytest.raises(UserError, match="0 of 48 samples"):
        read_evaluation(tmp_path)
    (tmp_path / SAMPLES).write_text((undisturbed / SAMPLES).read_text().splitlines(keepends=True)[0])
    with pytest.raises(UserError, match="1 of 48 samples"):
        read_evaluation(tmp_path)


def kept(directory, lines, questions, samples):
    """An evaluation whose lines are given as (problem, sample, correct, answer, reason, finish_reason, tokens)."""
    names = ("problem", "sample", "correct", "answer", "reason", "finish_reason", "tokens")
    store = SampleStore(
        directory, {"questions": questions, "samples": samples, "prompt_template": {"text": "{problem}"}}
    )
    store.append(dict(zip(names, line, strict=True)) for line in lines)
    return read_evaluation(directory)


def test_every_figure_of_a_small_evaluation(tmp_path):
    evaluation = kept(
        tmp_path,
        [
            ("a", 0, False, "1", "different", "stop", 10),
            ("a", 1, True, "2", "exact", "stop", 20),
            ("b", 0, False, None, "no_answer", "length", 30),
            ("b", 1, False, "9^9", "timeout", "stop", 20),
            ("c", 0, None, "3", "unparsable_gold", "stop", 20),
            ("c", 1, None, "3", "unparsable_gold", "stop", 20),
        ],
        questions=3,
        samples=2,
    )
    content = results({"bench": {"model": evaluation}}, Metrics(2, [1, 2]))
    found = content["benchmarks"]["bench"]["models"]["model"]
    assert found["avg@2"]["value"] == 0.25
    assert found["pass@1"]["value"] == 0.25
    assert found["pass@2"]["value"] == 0.5
    assert "questions_and_samples" in found["pass@1"]
    assert "questions_and_samples" not in found["pass@2"]  # k = n
    assert found["majority"]["value"] == 0.25
    assert found["truncated"] == pytest.approx(1 / 6)
    assert found["mean_tokens"] == 20
    assert found["grader_timeouts"] == 1
    assert found["unparsable_golds"] == ["c"]
    notes = " ".join(content["notes"])
    assert "stopped 1 comparisons" in notes
    assert "cannot be parsed: c" in notes
    assert "only says whether any" in notes
    first = results({"bench": {"model": evaluation}}, Metrics(2, [1, 2], "first-k"))
    assert first["benchmarks"]["bench"]["models"]["model"]["pass@1"]["value"] == 0.0  # its first sample is wrong
    assert any("first k samples" in note for note in first["notes"])


def test_a_difference_that_few_questions_carry_is_noted(tmp_path):
    """Two models that solve all of twelve questions always, but for one question of the second."""
    models = {
        name: kept(
            tmp_path / name,
            [
                (f"q{q}", s, q or s < right, "1", "exact" if q or s < right else "different", "stop", 3)
                for q in range(12)
                for s in range(2)
            ],
            questions=12,
            samples=2,
        )
        for name, right in (("one", 2), ("two", 0))
    }
    notes = results({"bench": models}, Metrics(2, [2]))["notes"]
    assert any("fewer than four questions carry the difference of two in avg@2, pass@2" in note for note in notes)
    assert not any("carry" in note for note in results({"bench": {"one": models["one"]}}, Metrics(2, [2]))["notes"])


def test_more_k_than_samples_and_unknown_estimators_are_refused():
    with pytest.raises(UserError, match="Pass@4 needs at least 4"):
        Metrics(2, [4])
    with pytest.raises(UserError, match="Did you mean 'first-k'"):
        Metrics(2, [2], "firstk")
    assert powers_of_two(64) == [2, 4, 8, 16, 32, 64]
    assert powers_of_two(5) == [2, 4]


def test_a_plan_holds_every_sample_once_with_a_seed_of_its_own():
    problems = ["ccccc", "aaa", "bbbbbbbbb", "ddd"]
    plan = request_batches(problems, blocks(4, 5), batch_size=7, seed=0)
    requests = [request for batch in plan for request in batch]
    assert sorted((r.question, r.sample) for r in requests) == [(q, s) for q in range(4) for s in range(5)]
    assert len({request.seed for request in requests}) == 20
    assert [len(batch) for batch in plan] == [7, 7, 6]
    assert [request.question for request in plan[0]] == [1] * 5 + [3] * 2
    assert plan == request_batches(problems, blocks(4, 5), 7, 0) != request_batches(problems, blocks(4, 5), 7, 1)


def test_sampling_defaults_and_options_without_effect():
    mathematics = get_task("mathematics")
    assert sampling_of(mathematics, EvaluationOptions(seed=3)) == Sampling(0.6, 0.95, 20, 4096, 3)
    assert sampling_of(mathematics, EvaluationOptions(temperature=0)) == Sampling(0.0, 1.0, 0, 4096, 0)
    with pytest.raises(UserError, match="no effect"):
        sampling_of(mathematics, EvaluationOptions(temperature=0, top_p=0.9))
    with pytest.raises(UserError, match="top_p"):
        Sampling(top_p=0.0)
