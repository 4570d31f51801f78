"""Estimators of advantages against verl's own functions, and through verl's dispatch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("verl", reason="verl has an environment of its own: make test-verl")

from verl import DataProto
from verl.trainer.config import AlgoConfig
from verl.trainer.ppo.core_algos import AdvantageEstimator, compute_optimal_token_baseline_advantage
from verl.trainer.ppo.ray_trainer import compute_advantage

import abcgrpo.verl.advantages as ours
from abcgrpo.advantages import ESTIMATORS, Groups, resolve_estimator


def rollout(seed: int, size: int, prompts: int, width: int, lengths: list[int] | None = None, weighted: bool = False):
    """Groups of unequal rewards with ragged lengths, and the policy's distribution at each token."""
    torch.manual_seed(seed)
    number = size * prompts
    chosen = torch.randint(1, width + 1, (number,)) if lengths is None else torch.tensor(lengths)
    probabilities = (2 * torch.randn(number, width, 7)).softmax(-1)
    return Groups(
        torch.rand(number) + 0.1,
        size,
        torch.ones(number, width, dtype=torch.long),
        torch.arange(width) < chosen[:, None],
        logprobs=probabilities[..., 0].log(),
        squared_probabilities=probabilities.square().sum(-1),
        importance_weights=torch.rand(number, width) + 0.5 if weighted else None,
    )


def verls_baseline(groups: Groups, **options) -> torch.Tensor:
    last = groups.mask.sum(1) - 1
    rewards = torch.zeros(groups.mask.shape).scatter_(1, last[:, None], groups.rewards[:, None])
    advantages, _ = compute_optimal_token_baseline_advantage(
        rewards,
        groups.mask.float(),
        np.arange(len(rewards)) // groups.group_size,
        groups.logprobs,
        groups.squared_probabilities,
        rollout_is_weights=groups.importance_weights,
        **options,
    )
    return advantages


CASES = {
    "ragged": {"size": 4, "prompts": 3, "width": 12},
    "importance weights": {"size": 4, "prompts": 3, "width": 12, "weighted": True},
    "a tail of one response alone": {"size": 3, "prompts": 2, "width": 9, "lengths": [9, 4, 2, 5, 5, 8]},
    "two longest responses": {"size": 3, "prompts": 1, "width": 9, "lengths": [9, 9, 2]},
    "groups of one": {"size": 1, "prompts": 5, "width": 6},
    "groups of one, weighted": {"size": 1, "prompts": 5, "width": 6, "weighted": True},
}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_optimal_token_baseline_is_verls(case: dict, seed: int) -> None:
    groups = rollout(seed, **case)
    found = resolve_estimator("optimal_token_baseline")(groups)
    torch.testing.assert_close(found, verls_baseline(groups), rtol=0, atol=1e-6)
    assert found.abs().max() > 1e-2


def test_what_is_compared_would_be_seen() -> None:
    """The negative controls: without the zero tail, without the weights."""
    tail = rollout(0, **CASES["a tail of one response alone"])
    found = resolve_estimator("optimal_token_baseline")(tail)
    assert (found - verls_baseline(tail, handle_zero_tail=False)).abs().max() > 0.1
    weighted = rollout(0, **CASES["importance weights"])
    found = resolve_estimator("optimal_token_baseline")(weighted)
    assert (found - verls_baseline(replace(weighted, importance_weights=None))).abs().max() > 1e-3


def through_verl(name: str, rewards: list[float], prompts: list[str], **algorithm) -> torch.Tensor:
    """As verl's trainers call an estimator: (B, T) of three tokens, of which the last response has two."""
    mask = torch.ones(len(rewards), 3)
    mask[-1, 2] = 0
    scores = torch.zeros(len(rewards), 3)
    scores[:, 1] = torch.tensor(rewards)
    data = DataProto.from_dict(
        {"token_level_rewards": scores, "response_mask": mask}, {"uid": np.array(prompts, dtype=object)}
    )
    config = AlgoConfig(adv_estimator=name, **algorithm)
    normalised = config.norm_adv_by_std_in_grpo
    return compute_advantage(data, name, norm_adv_by_std_in_grpo=normalised, config=config).batch["advantages"]


REWARDS = [1.0, 0.0, 0.5, 0.25, 0.0, 0.75, 1.0]
PROMPTS = ["a", "b", "a", "b", "a", "b", "a"]
"""Groups whose rows are mixed, and of which one is smaller."""


def test_group_is_verls_grpo_without_its_division() -> None:
    plain = {"norm_adv_by_std_in_grpo": False}
    found = through_verl("group", REWARDS, PROMPTS, **plain)
    torch.testing.assert_close(found, through_verl("grpo", REWARDS, PROMPTS, **plain), rtol=0, atol=1e-6)
    assert found[0].tolist() == pytest.approx([1 - 2.5 / 4] * 3)
    assert found[-1, 2] == 0


def test_group_divides_where_verls_option_says_so() -> None:
    a, b = torch.tensor([1.0, 0.5, 0.0, 1.0]), torch.tensor([0.0, 0.25, 0.75])
    parts = [(group - group.mean()) / (group.std() + 1e-4) for group in (a, b)]
    expected = [parts[0][0], parts[1][0], parts[0][1], parts[1][1], parts[0][2], parts[1][2], parts[0][3]]
    found = through_verl("group", REWARDS, PROMPTS)  # the option's default is true
    assert found[:, 0].tolist() == pytest.approx([float(value) for value in expected], abs=1e-6)
    torch.testing.assert_close(found, through_verl("grpo", REWARDS, PROMPTS), rtol=1e-3, atol=0)


def test_equal_rewards_and_groups_of_one_have_no_advantage() -> None:
    assert through_verl("group", [0.1, 0.1, 0.1, 0.7], ["a", "a", "a", "b"]).count_nonzero() == 0


@pytest.mark.parametrize("name", ours.MISSING)
def test_what_verls_contract_does_not_allow_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(ValueError, match=f"adv_estimator={name} cannot run under verl: .* Train it with TRL"):
        through_verl(name, REWARDS, PROMPTS)


def test_every_estimator_is_registered_refused_or_verls_own() -> None:
    own = {member.value for member in AdvantageEstimator}
    assert set(ours.ESTIMATORS) | {"optimal_token_baseline"} == set(ESTIMATORS)
    assert set(ours.ESTIMATORS) & own == set()
    assert "optimal_token_baseline" in own


def test_registering_again_changes_nothing_and_a_taken_name_is_refused(monkeypatch) -> None:
    ours.register()
    monkeypatch.setitem(ours.ESTIMATORS, "group", lambda **_: None)
    with pytest.raises(ValueError, match="group has already been registered"):
        ours.register()
