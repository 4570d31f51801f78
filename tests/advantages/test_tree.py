"""Prefix trees and what is made of them, against brute force over all prefixes."""

import math
from statistics import fmean

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from abcgrpo import Boundaries, aggregate, token_loss
from abcgrpo.advantages import Groups, group_advantages, resolve_estimator
from abcgrpo.advantages.tree import prefix_tree, response_lengths

PAD = 0


@st.composite
def rollouts(draw) -> Groups:
    """Groups of ragged responses over a tiny vocabulary, some equal, some without a reward, some with tool tokens."""
    size, number, width = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 6))
    rows = st.lists(st.integers(1, 2), min_size=0, max_size=width)
    responses = [draw(rows) for _ in range(size * number)]
    rewards = [draw(st.sampled_from([0.0, 1.0, 0.1, 0.5, math.nan])) for _ in responses]
    ids = torch.tensor([row + [PAD] * (width - len(row)) for row in responses])
    mask = torch.tensor([[draw(st.booleans()) if t < len(row) else False for t in range(width)] for row in responses])
    return Groups(torch.tensor(rewards), size, ids, mask)


def brute_force(groups: Groups) -> tuple[list[list[float]], list[list[int]], list[int]]:
    """V and leaves of every prefix, by comparing every response with every other of its group."""
    size = groups.group_size
    last_written = [max([t + 1 for t, own in enumerate(row) if own], default=0) for row in groups.mask.tolist()]
    texts = [row[:length] for row, length in zip(groups.completion_ids.tolist(), last_written, strict=True)]
    rewards = groups.rewards.tolist()
    values, leaves = [], []
    for row, text in enumerate(texts):
        group = range(row // size * size, row // size * size + size)
        value_row, leaf_row = [], []
        for t in range(groups.mask.size(1) + 1):
            prefix = text[: min(t, len(text))]
            sharing = [i for i in group if len(texts[i]) >= len(prefix) and texts[i][: len(prefix)] == prefix]
            scored = [rewards[i] for i in sharing if not math.isnan(rewards[i])]
            everyone = [rewards[i] for i in group if not math.isnan(rewards[i])]
            value_row.append(fmean(scored) if scored else fmean(everyone) if everyone else 0.0)
            leaf_row.append(len(sharing))
        values.append(value_row)
        leaves.append(leaf_row)
    return values, leaves, last_written


@settings(max_examples=1000)
@given(rollouts())
def test_the_tree_is_that_of_brute_force(groups: Groups) -> None:
    values, leaves, lengths = brute_force(groups)
    found_lengths = response_lengths(groups.mask)
    assert found_lengths.tolist() == lengths
    tree = prefix_tree(groups.rewards, groups.group_size, groups.completion_ids, found_lengths)
    torch.testing.assert_close(tree.values, torch.tensor(values, dtype=torch.float64), rtol=1e-6, atol=1e-7)
    assert tree.leaves.tolist() == leaves


@settings(max_examples=300)
@given(rollouts(), st.sampled_from(["tempo", "tree_rl", "value"]))
def test_credit_is_its_formula(groups: Groups, form: str) -> None:
    values, leaves, _ = brute_force(groups)
    found = resolve_estimator({"name": "prefix_tree", "form": form})(groups)
    rewards, size = groups.rewards.tolist(), groups.group_size
    for row, reward in enumerate(rewards):
        group = [r for r in rewards[row // size * size : row // size * size + size] if not math.isnan(r)]
        for t in range(groups.mask.size(1)):
            root, before, after = values[row][0], values[row][t], values[row][t + 1]
            expected = {
                "tempo": reward - root + after - before,
                "tree_rl": (2 * after - root - before) / math.sqrt(leaves[row][t + 1]),
                "value": after - root,
            }[form]
            if math.isnan(reward) or len(set(group)) < 2:
                expected = 0.0
            assert found[row, t].item() == pytest.approx(expected, abs=1e-6)


@settings(max_examples=200)
@given(rollouts())
def test_shared_tokens_are_divided_by_those_who_share_them(groups: Groups) -> None:
    _, leaves, _ = brute_force(groups)
    whole = group_advantages(groups.rewards, groups.group_size)
    expected = whole[:, None] / torch.tensor(leaves)[:, 1:]
    torch.testing.assert_close(resolve_estimator("prefix_share")(groups), expected)


def test_a_tools_output_is_part_of_the_state() -> None:
    ids = torch.tensor([[1, 7, 2], [1, 8, 2]])  # the middle token is a tool's, and differs
    mask = torch.tensor([[True, False, True]] * 2)
    tree = prefix_tree(torch.tensor([1.0, 0.0]), 2, ids, response_lengths(mask))
    assert tree.values.tolist() == [[0.5, 0.5, 1.0, 1.0], [0.5, 0.5, 0.0, 0.0]]


IDENTITY = Groups(
    torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.5]),
    3,
    torch.tensor([[1, 2, 1, 0], [1, 2, 2, 2], [1, 1, 0, 0], [2, 1, 1, 1], [2, 1, 1, 0], [1, 1, 1, 1]]),
    torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]]).bool(),
)


def gradient(advantages: torch.Tensor, reduction: str, options: dict) -> torch.Tensor:
    """The gradient in a table of logits, one row for each prefix: what a policy shares, its gradient shares."""
    prefixes = sorted({tuple(row[:t]) for row in IDENTITY.completion_ids.tolist() for t in range(len(row))})
    place = {prefix: index for index, prefix in enumerate(prefixes)}
    groups = torch.tensor([[0], [0], [0], [1], [1], [1]])  # each prompt has logits of its own
    index = torch.tensor([[place[tuple(row[:t])] for t in range(len(row))] for row in IDENTITY.completion_ids.tolist()])
    torch.manual_seed(0)
    logits = torch.randn(2, len(prefixes), 3, requires_grad=True)
    table = logits.log_softmax(-1)[groups, index]
    logprobs = table.gather(-1, IDENTITY.completion_ids[..., None]).squeeze(-1)
    loss = token_loss(logprobs, logprobs.detach(), advantages, Boundaries(), IDENTITY.mask)
    aggregate(loss, IDENTITY.mask, reduction, **options).backward()
    assert logits.grad is not None
    return logits.grad


@pytest.mark.parametrize(("reduction", "options"), [("token_mean", {}), ("dr_grpo", {"max_length": 4})])
def test_on_policy_the_value_form_leaves_the_gradient_as_it_is(reduction: str, options: dict) -> None:
    plain = gradient(group_advantages(IDENTITY.rewards, 3), reduction, options)
    by_value = gradient(resolve_estimator({"name": "prefix_tree", "form": "value"})(IDENTITY), reduction, options)
    torch.testing.assert_close(by_value, plain, rtol=0, atol=1e-6)


def test_with_the_mean_over_responses_it_does_not() -> None:
    plain = gradient(group_advantages(IDENTITY.rewards, 3), "sequence_mean", {})
    by_value = gradient(resolve_estimator({"name": "prefix_tree", "form": "value"})(IDENTITY), "sequence_mean", {})
    assert (by_value - plain).abs().max() > 1e-3
