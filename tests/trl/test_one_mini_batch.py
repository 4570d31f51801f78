"""With one mini-batch per rollout every ratio is 1, so rules that only bound ratios all train the same weights."""

import pytest
import torch

from tests.trl.trainers import abc_trainer

HARD_BOUNDS = [
    "open",
    "grpo",
    "clip_higher",
    "dual_clip",
    "two_sided",
    "abc_grpo",
    "only_q1",
    "only_q2",
    "only_q3",
    "only_q4",
    "dppo_tv",
    "dppo_kl",
    "abc_probability",
    "dcpo",
]
"""A token's weight is r or 0."""
STEPS = 4


def trained(tmp_path, rule: str, mini_batches: int) -> torch.Tensor:
    """All weights after a short run, of which every rollout is cut into so many optimizer steps."""
    trainer = abc_trainer(tmp_path / rule, rule=rule, steps_per_generation=mini_batches, max_steps=STEPS)
    before = torch.cat([weight.detach().flatten().clone() for weight in trainer.model.parameters()])
    trainer.train()
    after = torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()])
    assert not torch.equal(before, after)
    return after


@pytest.fixture(scope="module")
def without_bounds(tmp_path_factory):
    """`open`, by mini-batches per rollout."""
    base = tmp_path_factory.mktemp("open")
    return {number: trained(base / str(number), "open", number) for number in (1, STEPS)}


@pytest.mark.parametrize("rule", HARD_BOUNDS[1:])
def test_with_one_mini_batch_weights_are_bit_identical(tmp_path, without_bounds, rule: str) -> None:
    assert torch.equal(trained(tmp_path, rule, 1), without_bounds[1])


@pytest.mark.parametrize("rule", ["grpo", "abc_grpo", "dppo_tv", "only_q1", "only_q4"])
def test_with_several_mini_batches_they_differ(tmp_path, without_bounds, rule: str) -> None:
    assert not torch.equal(trained(tmp_path, rule, STEPS), without_bounds[STEPS])


def test_a_rule_of_another_ratio_differs_with_one_mini_batch_too(tmp_path, without_bounds) -> None:
    """GSPO's ratio is the sequence's: its gradient is another one also where the ratio is 1."""
    assert not torch.equal(trained(tmp_path, "gspo", 1), without_bounds[1])
