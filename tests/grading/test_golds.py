"""The golds of four benchmarks: each is its own answer, and nobody else's."""

import json
import numbers
from pathlib import Path

import pytest

from abcgrpo.grading import RowChecker, check_rows, grade_batch
from abcgrpo.grading.grader import gold_text

BENCHMARKS = Path(__file__).parents[2].parent / "shared" / "data" / "benchmarks"
SIZES = {"aime24": 30, "aime25": 30, "amc23": 40, "hmmt202502": 30}

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason=f"the benchmarks' problems are not at {BENCHMARKS}")


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (BENCHMARKS / name / "test.jsonl").open(encoding="utf-8")]


def boxed(answer: object) -> str:
    return rf"Adding both, we find that the answer is $\boxed{{{answer}}}$, as wanted."


@pytest.mark.parametrize("name", SIZES)
def test_every_gold_is_its_own_answer(name: str):
    golds = [row["answer"] for row in rows(name)]
    assert len(golds) == SIZES[name]
    assert all(verdict.correct for verdict in grade_batch([boxed(gold) for gold in golds], golds))
    texts = [gold_text(gold) for gold in golds]
    assert all(verdict.reason == "exact" for verdict in grade_batch([boxed(text) for text in texts], golds))


@pytest.mark.parametrize("name", SIZES)
def test_one_more_and_one_less_are_wrong(name: str):
    pairs = []
    for row in rows(name):
        gold = row["answer"]
        if isinstance(gold, numbers.Real):
            pairs += [(gold, gold + 1), (gold, gold - 1)]
        elif gold.lstrip("-").isdigit():
            pairs += [(gold, int(gold) + 1), (gold, int(gold) - 1)]
        else:
            pairs += [(gold, f"{gold}+1"), (gold, f"{gold}-1")]
    verdicts = grade_batch([boxed(answer) for _, answer in pairs], [gold for gold, _ in pairs])
    assert len(pairs) == 2 * SIZES[name]
    assert [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.correct is not False] == []


def test_every_different_gold_of_another_problem_is_wrong():
    golds = sorted({gold_text(row["answer"]).lstrip("0") for name in SIZES for row in rows(name)})  # type: ignore[union-attr]
    pairs = [(one, other) for one in golds for other in golds if one != other]
    verdicts = grade_batch([boxed(other) for _, other in pairs], [one for one, _ in pairs])
    assert len(pairs) > 10_000
    wrong = [(pair, verdict) for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.correct is not False]
    assert wrong == []
    assert {verdict.reason for verdict in verdicts} == {"different"}


@pytest.mark.parametrize("name", SIZES)
def test_the_rows_can_be_used(name: str):
    assert check_rows(rows(name), RowChecker()) == []
