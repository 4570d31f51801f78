"""The reward, called as verl calls it."""

import pytest

pytest.importorskip("verl", reason="verl has an environment of its own: make test-verl")

from verl.utils.import_utils import load_extern_object

from abcgrpo.tasks import get_task
from abcgrpo.tasks.countdown import TASK
from abcgrpo.tasks.parquet import verl_rows
from abcgrpo.tasks.prompts import THE_PAPERS

compute_score = load_extern_object("pkg://abcgrpo.verl.reward", "compute_score")


MATHEMATICS = get_task("mathematics")


def score(row: dict, response: str) -> float:
    """By verl's keywords, with what its reward manager adds."""
    return compute_score(
        data_source=row["data_source"],
        solution_str=response,
        ground_truth=row["reward_model"]["ground_truth"],
        extra_info=row["extra_info"] | {"num_turns": 2, "rollout_reward_scores": {}},
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("15-9=6,6+1=7", 1.0), ("15-9=6,6+1=8", 0.0), ("9-6=3,15-3=12", 0.0), ("7", 0.0), ("", 0.0)],
)
def test_countdown_is_verified(answer, expected):
    (row,) = verl_rows([{"id": "x", "problem": "15,9,1:7>", "numbers": [15, 9, 1], "target": 7}], TASK.template, TASK)
    assert score(row, answer) == expected


@pytest.mark.parametrize("source", ["mathematics", "aime24", "open-r1/DAPO-Math-17k-Processed"])
@pytest.mark.parametrize(
    ("response", "expected"),
    [(r"so \boxed{\sqrt{12}}", 1.0), (r"so \boxed{\sqrt{13}}", 0.0), ("no box", 0.0), (r"\boxed{3.4641}", 0.0)],
)
def test_mathematics_is_graded(source, response, expected):
    (row,) = verl_rows([{"problem": "?", "answer": r"2\sqrt{3}"}], THE_PAPERS, MATHEMATICS, source)
    assert score(row, response) == expected


def test_a_gold_that_cannot_be_parsed_gives_no_signal_and_a_warning(caplog):
    (row,) = verl_rows([{"problem": "?", "answer": ""}], THE_PAPERS, MATHEMATICS)
    assert score(row, r"\boxed{1}") == score(row, r"\boxed{2}") == 0.0
    assert "a gold of mathematics cannot be parsed" in caplog.text


def test_a_countdown_row_without_its_numbers_is_an_error():
    with pytest.raises(ValueError, match="numbers is missing"):
        compute_score("countdown", "1+1=2", '{"answer": 2}')
