"""An evaluation that grows draws what a larger one would have drawn, and keeps what it has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abcgrpo.errors import UserError
from abcgrpo.evaluation.evaluate import evaluate
from abcgrpo.evaluation.growth import blocks
from abcgrpo.evaluation.options import EvaluationOptions
from abcgrpo.evaluation.sampling import request_batches
from abcgrpo.evaluation.store import SAMPLES
from abcgrpo.tasks.benchmarks import load_benchmark

OPTIONS = EvaluationOptions(max_new_tokens=8, samples=16, batch_size=64)
sizes = st.tuples(st.integers(1, 200), st.integers(1, 100))


@given(sizes, st.lists(sizes, max_size=3))
def test_blocks_are_all_of_it_and_no_batch_reaches_over_an_earlier_size(size, stages):
    stages = [(min(q, size[0]), min(s, size[1])) for q, s in stages]
    found = blocks(*size, stages)
    cells = [(q, s) for questions, samples in found for q in questions for s in samples]
    assert sorted(cells) == [(q, s) for q in range(size[0]) for s in range(size[1])]
    for questions, samples in found:
        for q, s in stages:
            assert questions.stop <= q or questions.start >= q
            assert samples.stop <= s or samples.start >= s


@pytest.mark.parametrize(("small", "large"), [((4, 16), (4, 64)), ((32, 16), (128, 32)), ((64, 128), (100, 300))])
def test_a_size_on_an_edge_is_the_beginning_of_a_larger_one(small, large):
    problems = [f"{n * 37 % 1000}" for n in range(large[0])]
    parts, whole = (request_batches(problems[:q], blocks(q, s), 16, 0) for q, s in (small, large))
    if small[0] == large[0] or small[0] in (32, 64):
        assert {tuple(batch) for batch in parts} <= {tuple(batch) for batch in whole}


def changed(**fields):
    return OPTIONS.model_copy(update=fields)


def lines(directory):
    return sorted((directory / SAMPLES).read_text().splitlines())


def test_grown_twice_and_interrupted_is_the_same_as_at_once(tmp_path):
    few, many = (load_benchmark("countdown", questions=count) for count in (32, 36))
    grown, whole = tmp_path / "grown", tmp_path / "whole"
    evaluate("countdown-base", few, OPTIONS, grown)
    first = (grown / SAMPLES).read_bytes()
    evaluate("countdown-base", few, changed(samples=32), grown)
    wanted = changed(samples=48)
    evaluate("countdown-base", many, wanted, grown)
    text = (grown / SAMPLES).read_text()
    (grown / SAMPLES).write_text(text[: len(text) - 2000])  # killed near its end
    evaluate("countdown-base", many, wanted, grown)
    assert (grown / SAMPLES).read_bytes().startswith(first)
    evaluate("countdown-base", many, wanted, whole)
    assert lines(grown) == lines(whole)


def test_a_size_of_no_edge_keeps_its_samples(tmp_path):
    few, many = (load_benchmark("countdown", questions=count) for count in (3, 5))
    evaluate("countdown-base", few, changed(samples=5), tmp_path)
    first = (tmp_path / SAMPLES).read_bytes()
    found = evaluate("countdown-base", many, changed(samples=7), tmp_path)
    assert (tmp_path / SAMPLES).read_bytes().startswith(first)
    assert found.right.shape == (5, 7)


def test_other_settings_and_fewer_samples_are_still_refused(tmp_path):
    benchmark = load_benchmark("countdown", questions=3)
    evaluate("countdown-base", benchmark, OPTIONS, tmp_path)
    for other in (changed(samples=8), changed(samples=32, max_new_tokens=9)):
        with pytest.raises(UserError, match="other settings"):
            evaluate("countdown-base", benchmark, other, tmp_path)
