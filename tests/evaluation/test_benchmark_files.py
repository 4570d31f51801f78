"""Benchmark files that are damaged, or name clusters of questions."""

import json

import pytest

from abcgrpo.errors import UserError
from abcgrpo.evaluation.evaluate import evaluate
from abcgrpo.evaluation.options import EvaluationOptions
from abcgrpo.evaluation.results import Metrics, results
from abcgrpo.evaluation.samplers import Sampler
from abcgrpo.evaluation.sampling import Sample
from abcgrpo.tasks.benchmarks import load_benchmark

GOOD = json.dumps({"problem": "What is 1 + 1?", "answer": "2"}) + "\n"
NESTED = '{"problem": ' + "[" * 5000 + "]" * 5000 + ', "answer": "2"}\n'
DAMAGED = {
    "nested 5,000 deep": ((GOOD + NESTED).encode(), "line 2, is nested too deeply"),
    "a lone surrogate": ((GOOD + '{"problem": "a \\ud800 b", "answer": "2"}\n').encode(), "line 2, has half of a char"),
    "UTF-16": (GOOD.encode("utf-16"), "line 1, is not UTF-8"),
    "UTF-16 without a mark": ((GOOD + GOOD.replace("1", "ä")).encode("utf-16-le"), "line 1, is not|line 2, is not"),
    "Latin-1": ((GOOD + GOOD.replace("1", "ä").replace("What", "Größe")).encode("latin-1"), "line 2, is not UTF-8"),
    "no JSON": ((GOOD + "{\n").encode(), "line 2, is not valid JSON"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused_with_the_row(tmp_path, content, message):
    path = tmp_path / "mine.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_benchmark(str(path))


def test_a_byte_order_mark_is_no_damage(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_bytes(GOOD.encode("utf-8-sig"))
    assert load_benchmark(str(path)).rows[0]["problem"] == "What is 1 + 1?"


class Constant(Sampler):
    """Answers every second sample with 2."""

    def sample(self, prompts, seeds, drawn=None):
        return [Sample(f"\\boxed{{{2 + index % 2}}}", 3, "stop") for index in range(len(prompts))]


def test_clusters_of_a_file_reach_intervals_and_notes(tmp_path):
    path = tmp_path / "mine.jsonl"
    rows = [
        {"problem": f"What is {n} + 1?", "answer": str(2 + (n // 2) % 2), "cluster": f"sheet {n // 2}"}
        for n in range(12)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = EvaluationOptions(samples=4, batch_size=48)
    evaluation = evaluate("countdown-base", load_benchmark(str(path)), options, tmp_path / "out", lambda *_: Constant())
    assert sorted(set(evaluation.clusters)) == [f"sheet {n}" for n in range(6)]
    benchmark = load_benchmark(str(path))
    problems = {problem: row["cluster"] for problem, row in zip(benchmark.ids, benchmark.rows, strict=True)}
    assert evaluation.clusters == [problems[question] for question in evaluation.questions]
    content = results({"mine": {"model": evaluation}}, Metrics(4, [2]))
    assert "mine: The 12 questions are in 6 clusters: intervals and verdicts count clusters." in content["notes"]
