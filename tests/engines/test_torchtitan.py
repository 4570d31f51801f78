"""The loss in torchtitan's own hands, beside its `DAPOLoss`."""

import importlib.util
import sys

import pytest
import torch

pytest.importorskip("torchtitan", reason="torchtitan has an environment of its own: make test-engines")

from abcgrpo import Boundaries, policy_loss
from abcgrpo.engines.torchtitan import RuleLoss
from tests.engines.batches import batch, known_rules

WORDS = 11


def own_loss():
    """`DAPOLoss`, from its file: its package imports vLLM."""
    package = importlib.util.find_spec("torchtitan")
    assert package is not None
    path = f"{package.submodule_search_locations[0]}/experiments/rl/losses/dapo.py"
    specification = importlib.util.spec_from_file_location("torchtitan_dapo", path)
    module = importlib.util.module_from_spec(specification)
    sys.modules["torchtitan_dapo"] = module
    specification.loader.exec_module(module)
    return module.DAPOLoss


def tokens():
    """Logits, labels and the keyword arguments of a loss; one token's log-prob is missing, as vLLM leaves it out."""
    made, generator = batch(), torch.Generator().manual_seed(1)
    logits = torch.randn(*made.mask.shape, WORDS, generator=generator).requires_grad_()
    labels = torch.randint(WORDS, made.mask.shape, generator=generator)
    logprobs = logits.detach().log_softmax(-1).gather(-1, labels[..., None])[..., 0]
    sampled = logprobs - (made.new - made.old).detach()
    sampled[0, 0] = float("nan")
    given = {"generator_logprobs": sampled, "advantages": made.advantages, "loss_mask": made.mask}
    return logits, labels, given


def run(loss, parts: int = 1):
    """Loss, gradient and metrics of a step of so many micro-batches."""
    logits, labels, given = tokens()
    count = float((given["loss_mask"] & given["generator_logprobs"].isfinite()).sum())
    total, sums = torch.zeros(()), {}
    for rows in torch.arange(len(labels)).chunk(parts):
        value, metrics = loss(logits[rows], labels[rows], count, **{name: each[rows] for name, each in given.items()})
        total = total + value
        sums = {name: sums.get(name, 0.0) + metrics[name] for name in metrics}
    (gradient,) = torch.autograd.grad(total, logits)
    return total.detach(), gradient, sums


@pytest.mark.parametrize("rule", [r for r in known_rules().values() if r.level == "token"], ids=lambda rule: rule.name)
def test_loss_and_gradient_are_the_objectives(rule):
    found = run(RuleLoss.Config(rule=rule.to_dict()).build(), parts=3)
    logits, labels, given = tokens()
    logprobs = logits.log_softmax(-1).gather(-1, labels[..., None])[..., 0]
    mask = given["loss_mask"] & given["generator_logprobs"].isfinite()
    expected = policy_loss(logprobs, given["generator_logprobs"], given["advantages"], mask, rule, "token_mean")
    torch.testing.assert_close(found[0], expected.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[1], torch.autograd.grad(expected, logits)[0], rtol=1e-4, atol=1e-7)


def test_torchtitans_own_loss_is_a_setting():
    theirs = run(own_loss().Config(ratio_clip_low=0.2, ratio_clip_high=0.28).build(), parts=2)
    ours = run(RuleLoss.Config(rule=Boundaries.clip_higher(0.2, 0.28).to_dict()).build(), parts=2)
    torch.testing.assert_close(ours[:2], theirs[:2], rtol=1e-5, atol=1e-7)
    for name in ("loss/mean", "trainer/entropy/mean"):
        torch.testing.assert_close(ours[2][name], theirs[2][name], rtol=1e-5, atol=1e-6)
    other = run(RuleLoss.Config(rule="abc_grpo").build(), parts=2)
    assert (other[1] - theirs[1]).abs().max() > 1e-3


def test_parts_of_the_metrics_add_up():
    loss = RuleLoss.Config(rule="abc_grpo").build()
    whole, parts = run(loss)[2], run(loss, parts=4)[2]
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)
    assert whole["clip/q1"] > 0
