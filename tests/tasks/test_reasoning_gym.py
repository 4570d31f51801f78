"""Data sets of reasoning-gym: their rows, their gold answers, and answers that mean harm."""

import itertools
import json
import re
from collections import deque

import pytest

pytest.importorskip("reasoning_gym")

from abcgrpo.errors import UserError
from abcgrpo.tasks import TrainingData, get_task
from abcgrpo.tasks.benchmarks import load_benchmark
from abcgrpo.tasks.parquet import graded_row, verl_rows
from abcgrpo.tasks.pretrain import base_of
from abcgrpo.tasks.reasoning_gym import extract, names

WITHOUT_A_GOLD = {"boxnet", "rush_hour"}
"""Their entries hold no right answer, in their metadata neither. Other tests here solve a problem of each."""

HOSTILE = {
    "a tower of powers": "9**9**9**9",
    "a megabyte": "1" * 1_000_000,
    "deep nesting": "(" * 100_000,
    "no characters": "\ud800\0",
    "code": "__import__('os').system('true')",
}


def tagged(answer: str) -> str:
    return f"Let me think. <answer>{answer}</answer>"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*names()} - {"composite"}))
def test_every_data_set(name):
    """Golds score 1, a seed gives the same rows, training and test share none, hostile answers cost their row only."""
    task = get_task(f"reasoning-gym/{name}")
    assert task.held_out_rows is not None
    rows, held_out = task.training_rows(TrainingData(2, 7)), task.held_out_rows(2)
    assert rows == task.training_rows(TrainingData(2, 7))
    assert held_out == task.held_out_rows(2)
    assert not {row["problem"] for row in rows} & {row["problem"] for row in held_out}
    assert all((row["answer"] is None) is (name in WITHOUT_A_GOLD) for row in rows + held_out)
    golds = [(tagged(row["answer"]), row, True) for row in rows + held_out if row["answer"] is not None]
    harm = [(tagged(text), rows[0], False) for text in HOSTILE.values()]
    texts, graded, right = zip(*golds[:1], *harm, *golds[1:], strict=True)
    assert [verdict.correct for verdict in task.grade([*texts], [*graded])] == [*right]


def test_a_plan_for_boxnet_is_right():
    """Its entries hold no answer: each box is walked to its target, first down or up, then across."""
    task = get_task("reasoning-gym/boxnet")
    (row,) = task.training_rows(TrainingData(1))
    places = {
        thing: (float(x), float(y))
        for x, y, things in re.findall(r"Agent\[([\d.]+), ([\d.]+)\]: .*? I can observe \[(.*?)\]", row["problem"])
        for thing in re.findall(r"'(\w+)'", things)
    }
    plan = []
    for box in [thing for thing in places if thing.startswith("box_")]:
        here, target = list(places[box]), box.replace("box_", "target_")
        for axis in (0, 1):
            while here[axis] != places[target][axis]:
                agent = f"Agent[{here[0]}, {here[1]}]"
                here[axis] += 1 if here[axis] < places[target][axis] else -1
                plan.append({agent: f"move({box}, square[{here[0]}, {here[1]}])"})
        plan.append({f"Agent[{here[0]}, {here[1]}]": f"move({box}, {target})"})
    whole, part = task.grade([tagged(json.dumps(plan)), tagged(json.dumps(plan[:-1]))], [row] * 2)
    assert (whole.correct, part.correct) == (True, False)


def test_a_way_out_of_rush_hour_is_right():
    """Its entries hold no answer: one is found by trying all moves, those that need the fewest first."""
    task = get_task({"name": "reasoning-gym/rush_hour", "min_moves": 1, "max_moves": 6})
    (row,) = task.training_rows(TrainingData(1))
    board = "".join(re.findall(r"^[A-Zx.]{6}$", row["problem"], re.MULTILINE))
    assert len(board) == 36
    ways, waiting = {board: ""}, deque([board])
    while waiting:
        here = waiting.popleft()
        if here[12:18].endswith("AA"):
            break
        for car in sorted({*here} - {"x", "."}):
            cells = [place for place, label in enumerate(here) if label == car]
            step = cells[1] - cells[0]
            for sign, end in ((1, cells[-1] + step), (-1, cells[0] - step)):
                inside = 0 <= end < 36 and (step == 6 or end // 6 == cells[0] // 6)
                if inside and here[end] == ".":
                    moved = "".join(
                        car
                        if place in {*cells, end} - {cells[0 if sign > 0 else -1]}
                        else "."
                        if label == car
                        else label
                        for place, label in enumerate(here)
                    )
                    if moved not in ways:
                        ways[moved] = f"{ways[here]} {car}{sign:+d}"
                        waiting.append(moved)
    whole, part = task.grade([tagged(ways[here]), tagged(ways[here].rpartition(" ")[0])], [row] * 2)
    assert (whole.correct, part.correct) == (True, False)


def test_training_and_test_are_disjoint_and_seeds_differ():
    task = get_task({"name": "reasoning-gym/gcd", "max_value": 40})
    train = task.training_rows(TrainingData(60, 1))
    assert {row["problem"] for row in train} != {row["problem"] for row in task.training_rows(TrainingData(60, 2))}
    benchmark = load_benchmark('{"name": "reasoning-gym/gcd", "max_value": 40}', questions=20)
    assert benchmark.name == "reasoning-gym-gcd"
    assert len(benchmark.rows) == 20
    assert not {row["problem"] for row in train} & {row["problem"] for row in benchmark.rows}


@pytest.mark.parametrize("name", ["puzzle24", "countdown", "simple_equations"])
def test_hostile_answers_cost_their_row_only(name):
    task = get_task(f"reasoning-gym/{name}")
    (row,) = task.training_rows(TrainingData(1))
    answers = [*HOSTILE.values(), row["answer"]]
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


def test_a_base_can_be_made_for_a_data_set():
    """From its questions as they are; the golds are solutions that score 1, in characters that the base has."""
    for extra, solved in (({"whole_text": True}, "{}"), ({}, "<answer>{}</answer>")):
        given = {"name": "reasoning-gym/chain_sum", "max_terms": 3, "max_digits": 2} | extra
        base, task = base_of(json.dumps(given)), get_task(given)
        found = list(itertools.islice(base.generate(3, "train"), 20))
        assert found == list(itertools.islice(base.generate(3, "train"), 20))
        held_out = {problem.prompt for problem, _ in itertools.islice(base.generate(3, "test"), 20)}
        assert not held_out & {problem.prompt for problem, _ in found}
        for problem, solution in found:
            (verdict,) = task.grade([solution], [problem.columns])
            assert verdict.correct
            assert solution == solved.format(verdict.answer)
            assert {*problem.prompt, *solution} <= {*base.characters}
            assert len(problem.prompt) + len(solution) < base.longest
    with pytest.raises(UserError, match="gives no right answer to problem"):
        base_of("reasoning-gym/boxnet")


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
    "a data set of no use": ("reasoning-gym/game_of_life_halting", "its scorer calls every answer right"),
    "the family": ("reasoning-gym", "write reasoning-gym/NAME"),
}


@pytest.mark.parametrize(("given", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_paragraphs(given, message):
    with pytest.raises(UserError, match=message):
        get_task(given)


def test_too_few_problems_are_said_so():
    with pytest.raises(UserError, match="different problems to train on"):
        get_task({"name": "reasoning-gym/gcd", "min_value": 1, "max_value": 2}).training_rows(TrainingData(100))
