"""Estimators that need the policy's distribution, against hand calculations and a loop."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from abcgrpo.advantages import Groups, resolve_estimator

otb = resolve_estimator("optimal_token_baseline")


def rollout(rewards, size, mask, seed=0, weights=None) -> Groups:
    torch.manual_seed(seed)
    shape = (len(rewards), len(mask[0]))
    logits = torch.randn(*shape, 5)
    probabilities = logits.softmax(-1)
    return Groups(
        torch.tensor(rewards),
        size,
        torch.ones(shape, dtype=torch.long),
        torch.tensor(mask).bool(),
        logprobs=probabilities[..., 0].log(),
        squared_probabilities=probabilities.square().sum(-1),
        entropies=-(probabilities * probabilities.log()).sum(-1),
        importance_weights=weights,
    )


def baseline_by_loop(groups: Groups) -> torch.Tensor:
    """The definition, one token at a time, in Python's floats."""
    size, width = groups.group_size, groups.mask.size(1)
    found = torch.zeros(len(groups.rewards), width)
    for row in range(len(groups.rewards)):
        group = range(row // size * size, row // size * size + size)
        lengths = sorted(int(groups.mask[i].sum()) for i in group)
        for t in range(width):
            if not groups.mask[row, t]:
                continue
            above = below = 0.0
            for i in group:
                if not groups.mask[i, t]:
                    continue
                energy = 0.0
                for j in range(t + 1):
                    term = 1 - 2 * math.exp(groups.logprobs[i, j]) + float(groups.squared_probabilities[i, j])
                    rho = 1.0 if groups.importance_weights is None else float(groups.importance_weights[i, j])
                    energy += term * rho**2
                above += float(groups.rewards[i]) * energy
                below += energy
            alone = size == 1 or (t >= lengths[-2] and lengths[-1] > lengths[-2])
            found[row, t] = float(groups.rewards[row]) - (0.0 if alone else above / (below + 1e-8))
    return found


@settings(max_examples=150)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 6), st.integers(0, 10**6), st.booleans())
def test_the_optimal_baseline_is_its_definition(size, number, width, seed, weighted) -> None:
    torch.manual_seed(seed)
    lengths = torch.randint(1, width + 1, (size * number,))
    mask = (torch.arange(width) < lengths[:, None]).tolist()
    rewards = [float(i % 2) + 0.125 * i for i in range(size * number)]  # no two of a group are equal
    weights = torch.rand(size * number, width) + 0.5 if weighted else None
    groups = rollout(rewards, size, mask, seed, weights)
    torch.testing.assert_close(otb(groups), baseline_by_loop(groups), rtol=1e-5, atol=1e-5)


def test_the_tail_of_the_longest_response_has_no_baseline() -> None:
    found = otb(rollout([1.0, 0.0], 2, [[1, 1, 1], [1, 0, 0]]))
    assert found[0, 1:].tolist() == [1.0, 1.0]
    assert found[0, 0].item() < 1.0
    assert found[1, 1:].tolist() == [0.0, 0.0]


def test_a_group_of_one_keeps_its_reward() -> None:
    assert otb(rollout([0.5], 1, [[1, 1]])).tolist() == [[0.5, 0.5]]


def test_equal_rewards_give_exactly_nothing() -> None:
    assert otb(rollout([0.1, 0.1, 0.1], 3, [[1, 1], [1, 1], [1, 0]])).count_nonzero() == 0


def test_a_response_without_a_reward_takes_no_part() -> None:
    three = otb(rollout([1.0, math.nan, 0.0], 3, [[1, 1], [1, 1], [1, 1]]))
    whole = rollout([1.0, math.nan, 0.0], 3, [[1, 1], [1, 1], [1, 1]])
    rows = torch.tensor([0, 2])
    tensors = {name: value[rows] for name, value in vars(whole).items() if isinstance(value, torch.Tensor)}
    two = replace(whole, **tensors, group_size=2)
    torch.testing.assert_close(three[rows], otb(two))
    assert three[1].tolist() == [0.0, 0.0]


def test_entropy_shares_what_correct_responses_have() -> None:
    groups = Groups(
        torch.tensor([1.0, 1.0, 0.0, 0.0]),
        4,
        torch.ones(4, 2, dtype=torch.long),
        torch.tensor([[1, 1], [1, 0], [1, 1], [1, 1]]).bool(),
        entropies=torch.tensor([[3.0, 0.2], [1.0, 9.0], [5.0, 5.0], [0.0, 0.0]]),
    )
    found = resolve_estimator("entropy_weighted")(groups)
    # Position 0: two correct responses with entropies 3 and 1 share 2 × ½. Position 1: one alone keeps its own.
    expected = [[0.75, 0.5], [0.25, 0.5], [-0.5, -0.5], [-0.5, -0.5]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_without_any_entropy_correct_responses_share_equally() -> None:
    groups = replace(rollout([1.0, 0.0], 2, [[1, 1], [1, 1]]), entropies=torch.zeros(2, 2))
    assert resolve_estimator("entropy_weighted")(groups).tolist() == [[0.5, 0.5], [-0.5, -0.5]]


@pytest.mark.parametrize("name", ["optimal_token_baseline", "entropy_weighted"])
def test_an_estimator_says_what_it_needs(name: str) -> None:
    assert resolve_estimator(name).needs <= {"logprobs", "squared_probabilities", "entropies", "importance_weights"}
    assert resolve_estimator(name).needs
