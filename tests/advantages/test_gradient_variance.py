"""The variance of the gradient over rollouts: by its definition, and on a policy whose variance is known exactly."""

import math
from itertools import product

import pytest
import torch

from abcgrpo import Boundaries, policy_loss
from abcgrpo.advantages import Groups, resolve_estimator
from measurements.gradient_variance import compare, jackknife, variance

LOGIT = 0.4


def gradient(tokens: torch.Tensor, estimator) -> torch.Tensor:
    """Of a group of four responses of two tokens, 0 or 1, in a policy that has one logit for each position; a response
    is right if both are 1."""
    rewards = tokens.prod(1).float()
    logits = torch.full((2,), LOGIT, requires_grad=True)
    ones = torch.nn.functional.logsigmoid(logits)
    logprobs = torch.where(tokens == 1, ones, ones - logits)  # log(1 − σ(x)) = log σ(x) − x
    mask = torch.ones(tokens.shape, dtype=torch.bool)
    advantages = estimator(Groups(rewards, 4, tokens, mask))
    loss = policy_loss(logprobs, logprobs.detach(), advantages, mask, Boundaries(), "sequence_mean")
    loss.backward()
    assert logits.grad is not None
    return logits.grad


def known(estimator) -> tuple[torch.Tensor, float]:
    """The mean gradient and the trace of its covariance, over all 256 groups weighed by their probability."""
    right = 1 / (1 + math.exp(-LOGIT))
    mean, square = torch.zeros(2, dtype=torch.double), 0.0
    for outcome in product((0, 1), repeat=8):
        weight = math.prod(right if token else 1 - right for token in outcome)
        found = gradient(torch.tensor(outcome).view(4, 2), estimator).double()
        mean += weight * found
        square += weight * found.square().sum().item()
    return mean, square - mean.square().sum().item()


@pytest.mark.parametrize("name", ["group", "prefix_tree"])
def test_it_finds_the_variance_of_a_policy_whose_variance_is_known(name: str) -> None:
    estimator = resolve_estimator(name)
    mean, trace = known(estimator)
    torch.manual_seed(0)
    number = 600
    draws = torch.rand(number, 4, 2) < 1 / (1 + math.exp(-LOGIT))
    gradients = torch.stack([gradient(tokens.long(), estimator) for tokens in draws]).double()
    gram = gradients @ gradients.T
    found = compare({name: gram})[name]
    for key, truth in {
        "trace": trace,
        "signal": mean.square().sum().item(),
        "relative": trace / mean.square().sum(),
    }.items():
        assert found[key] == pytest.approx(float(truth), abs=4 * found[f"{key}_se"])
        assert found[f"{key}_se"] < 0.3 * found[key]  # or the line before would say nothing


def test_it_is_the_definition_and_without_bias() -> None:
    torch.manual_seed(1)
    gradients = torch.randn(7, 30, dtype=torch.double) + 0.5
    found = variance(gradients @ gradients.T)
    assert found.trace == pytest.approx(gradients.var(0).sum().item())
    assert found.signal == pytest.approx(gradients.mean(0).square().sum().item() - found.trace / 7)
    signals = []
    for _ in range(2000):  # the squared norm of a mean of 0.5 in each of 4 directions is 1
        few = torch.randn(3, 4, dtype=torch.double) + 0.5
        signals.append(variance(few @ few.T).signal)
    assert sum(signals) / len(signals) == pytest.approx(1.0, abs=0.2)


def test_where_no_signal_is_seen_nothing_is_relative_to_it() -> None:
    gradients = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.double)
    assert math.isnan(variance(gradients @ gradients.T).relative)


def test_the_jackknife_is_the_standard_error_of_a_mean() -> None:
    torch.manual_seed(2)
    values = torch.randn(50, dtype=torch.double)
    found = jackknife(lambda kept: values[kept].mean().item(), 50)
    assert found == pytest.approx(values.std().item() / math.sqrt(50))
