"""Data sets of reasoning-gym: their rows, their gold answers, and answers that mean harm."""

import json

import pytest

pytest.importorskip("reasoning_gym")

from abcgrpo.errors import UserError
from abcgrpo.tasks import TrainingData, get_task
from abcgrpo.tasks.benchmarks import load_benchmark
from abcgrpo.tasks.parquet import graded_row, verl_rows
from abcgrpo.tasks.reasoning_gym import extract, names

GOLDS_THAT_DO_NOT_SCORE_1 = {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}
"""Their entries hold no answer that their own scorer takes; what a model answers is scored all the same."""


def tagged(answer: str) -> str:
    return f"Let me think. <answer>{answer}</answer>"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*names()} - {"composite"}))
def test_golds_score_1_and_a_seed_gives_the_same_rows(name):
    task = get_task(f"reasoning-gym/{name}")
    rows = task.training_rows(TrainingData(2, 7))
    assert rows == task.training_rows(TrainingData(2, 7))
    verdicts = task.grade([tagged(row["answer"]) for row in rows], rows)
    assert all(verdict.correct for verdict in verdicts) is (name not in GOLDS_THAT_DO_NOT_SCORE_1), verdicts


def test_training_and_test_are_disjoint_and_seeds_differ():
    task = get_task({"name": "reasoning-gym/gcd", "max_value": 40})
    train = task.training_rows(TrainingData(60, 1))
    assert {row["problem"] for row in train} != {row["problem"] for row in task.training_rows(TrainingData(60, 2))}
    benchmark = load_benchmark('{"name": "reasoning-gym/gcd", "max_value": 40}', questions=20)
    assert benchmark.name == "reasoning-gym-gcd"
    assert len(benchmark.rows) == 20
    assert not {row["problem"] for row in train} & {row["problem"] for row in benchmark.rows}


HOSTILE = ["9**9**9**9", "1" * 1_000_000, "(" * 100_000, "\ud800\0", "__import__('os').system('true')"]


@pytest.mark.parametrize("name", ["puzzle24", "countdown", "simple_equations"])
def test_hostile_answers_cost_their_row_only(name):
    task = get_task(f"reasoning-gym/{name}")
    (row,) = task.training_rows(TrainingData(1))
    answers = [*HOSTILE, row["answer"]]
    verdicts = task.grade([tagged(answer) for answer in answers], [row] * len(answers))
    assert [verdict.correct for verdict in verdicts] == [False] * len(HOSTILE) + [True]


def test_scores_are_rewards_where_that_is_asked_for():
    name, wrong = "reasoning-gym/countdown", "1 + 1"
    (row,) = get_task(name).training_rows(TrainingData(1))
    (plain,) = get_task(name).grade([tagged(wrong)], [row])
    (graded,) = get_task({"name": name, "graded_reward": True}).grade([tagged(wrong)], [row])
    assert plain.correct is graded.correct is False
    assert plain.reward == 0.0
    assert 0 < graded.reward < 1
    (whole,) = get_task({"name": name, "whole_text": True}).grade([row["answer"]], [row])
    assert whole.correct
    (silent,) = get_task(name).grade([row["answer"]], [row])
    assert silent.reason == "no_answer"


def test_a_curriculum_and_a_composite():
    easy = get_task({"name": "reasoning-gym/chain_sum", "curriculum": {"num_digits": 0, "num_terms": 0}})
    hard = get_task({"name": "reasoning-gym/chain_sum", "curriculum": {"num_digits": 3, "num_terms": 3}})
    lengths = [sum(len(row["problem"]) for row in each.training_rows(TrainingData(8))) for each in (easy, hard)]
    assert lengths[0] < lengths[1]
    parts = [{"name": "gcd", "weight": 1, "config": {}}, {"name": "lcm", "weight": 1, "config": {}}]
    task = get_task({"name": "reasoning-gym/composite", "datasets": parts})
    rows = task.training_rows(TrainingData(12))
    assert {row["cluster"] for row in rows} == {"gcd", "lcm"}  # what questions of one template share
    assert not any("cluster" in row for row in easy.training_rows(TrainingData(2)))
    assert all(verdict.correct for verdict in task.grade([tagged(row["answer"]) for row in rows], rows))


def test_a_row_is_graded_by_verl_in_another_process():
    task = get_task({"name": "reasoning-gym/gcd", "max_value": 40})
    (row,) = task.training_rows(TrainingData(1))
    (exported,) = verl_rows([row], task.template, task)
    found, columns = graded_row("x", exported["reward_model"]["ground_truth"], exported["extra_info"]["task"])
    assert found.grade([tagged(row["answer"])], [columns])[0].correct
    assert json.loads(columns["source"])["name"] == "gcd"


@pytest.mark.parametrize(
    ("text", "answer"),
    [("<answer>1</answer> <answer> 2 </answer>", "2"), ("<answer>3", None), ("3", None), ("<answer></answer>", "")],
)
def test_the_last_answer_counts(text, answer):
    assert extract(text) == answer


MISTAKES = {
    "a data set": ({"name": "reasoning-gym/chain_sums"}, "Did you mean 'chain_sum'"),
    "a parameter": ({"name": "reasoning-gym/chain_sum", "min_term": 2}, "Did you mean 'min_terms'"),
    "a value": ({"name": "reasoning-gym/chain_sum", "min_terms": 5, "max_terms": 2}, "chain_sum: AssertionError"),
    "the family": ("reasoning-gym", "write reasoning-gym/NAME"),
}


@pytest.mark.parametrize(("given", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_paragraphs(given, message):
    with pytest.raises(UserError, match=message):
        get_task(given)


def test_too_few_problems_are_said_so():
    with pytest.raises(UserError, match="different problems to train on"):
        get_task({"name": "reasoning-gym/gcd", "min_value": 1, "max_value": 2}).training_rows(TrainingData(100))
