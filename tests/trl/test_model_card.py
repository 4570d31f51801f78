"""What the model card says, and that it cites the paper."""

import pytest

from abcgrpo.trl.model_card import PAPER
from tests.trl.trainers import abc_trainer


@pytest.mark.parametrize(
    ("thresholds", "open_bounds", "sentence"),
    [
        ({}, 0, "All four boundaries are ABC-GRPO's."),
        ({"eps_pos_low": float("inf"), "eps_neg_high": float("inf")}, 2, "the objective is GRPO's"),
        (
            {"eps_pos_low": float("inf"), "eps_neg_high": float("inf"), "eps_pos_high": 0.28},
            2,
            "the objective is DAPO's clip-higher",
        ),
        ({"eps_pos_low": float("inf"), "eps_neg_high": 2.0}, 1, "dual-clip PPO"),
    ],
)
def test_method_boundaries_base_data_and_citation(tmp_path, thresholds, open_bounds, sentence):
    trainer = abc_trainer(tmp_path, **thresholds)
    trainer.card_base = "countdown-base"
    trainer.card_data = "64 problems of the task countdown"
    trainer.create_model_card("mine")
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\n")
    assert "abc-grpo" in card.partition("\n---\n")[0]
    assert "# mine" in card
    assert "Trained from countdown-base on 64 problems of the task countdown" in card
    assert card.count("| open |") == open_bounds
    assert sentence in card
    assert PAPER["citation"] in card
    assert "2601.03895" in card
    assert "2402.03300" not in card  # the host's own paper is not this method's


def test_a_rule_by_name_with_its_parameters_and_what_it_does(tmp_path):
    abc_trainer(tmp_path, rule={"name": "grpo", "eps": 0.3}).create_model_card("mine")
    card = (tmp_path / "README.md").read_text()
    assert "## Clipping rule: grpo" in card
    assert "| eps | 0.3 |" in card
    assert card.count("| open |") == 2
    assert "PPO-clip" in card
    assert "All four boundaries are ABC-GRPO's" not in card


def test_hub_ids_are_linked_and_directories_are_not(tmp_path):
    trainer = abc_trainer(tmp_path)
    trainer.card_base = "Qwen/Qwen3-1.7B-Base"
    trainer.create_model_card(dataset_name="open-r1/DAPO-Math-17k-Processed", tags="countdown")
    front = (tmp_path / "README.md").read_text().partition("\n---\n")[0]
    assert "base_model: Qwen/Qwen3-1.7B-Base" in front
    assert "- open-r1/DAPO-Math-17k-Processed" in front
    assert "- countdown" in front
    trainer.card_base = str(tmp_path)
    trainer.create_model_card()
    assert "base_model" not in (tmp_path / "README.md").read_text()
