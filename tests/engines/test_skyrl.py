"""The loss in SkyRL's own hands: its registry, its configuration, its reductions, its corrections."""

import importlib.metadata
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

pytest.importorskip("skyrl", reason="SkyRL has an environment of its own: make test-engines")

from omegaconf import OmegaConf
from skyrl.backends.skyrl_train.utils.ppo_utils import (
    PolicyLossRegistry,
    apply_loss_reduction_to_advantages_minibatch,
)
from skyrl.train.config import AlgorithmConfig
from skyrl.train.config.config import OffPolicyCorrectionConfig

from abcgrpo import Boundaries, policy_loss
from abcgrpo.engines import skyrl
from tests.engines.batches import batch, known_rules

REDUCTIONS = {"token_mean": "token_mean", "sequence_mean": "sequence_mean", "seq_mean_token_sum_norm": "dr_grpo"}
LONGEST = 20
CORRECTIONS = {
    "token ratio": {"tis_ratio_type": "token", "token_tis_ratio_clip_high": 1.2},
    "sequence ratio": {"tis_ratio_type": "sequence", "sequence_tis_ratio_clip_high": 1.5},
    "masked sequences": {"sequence_mask_metric": "product", "product_mask_high": 2.0, "product_mask_low": 0.5},
    "masked tokens": {"token_mask_is_threshold_low": 0.8, "token_mask_is_threshold_high": 1.25},
    "outliers": {"outlier_token_is_threshold_high": 1.8, "outlier_token_is_threshold_low": 0.1},
}


@dataclass
class Algorithm(AlgorithmConfig):
    policy_loss_type: str = "abcgrpo"
    rule: Any = field(default_factory=lambda: {"name": "abc_grpo"})


@pytest.fixture(autouse=True)
def registered():
    skyrl.register()
    yield
    PolicyLossRegistry.unregister(skyrl.NAME)


def by_skyrl(made, config, reduction):
    """Loss and gradient as SkyRL's worker computes them: advantages scaled, then the loss of the registry."""
    advantages = apply_loss_reduction_to_advantages_minibatch(
        made.advantages, made.mask.float(), reduction, micro_batch_size=len(made.mask), max_seq_len=LONGEST
    )
    function = PolicyLossRegistry.get(config.policy_loss_type)
    loss, metrics = function(
        made.new, made.old, advantages, config=config, loss_mask=made.mask.float(), rollout_logprobs=made.sampler
    )
    (gradient,) = torch.autograd.grad(loss, made.new)
    return loss.detach(), gradient, metrics


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("rule", known_rules().values(), ids=known_rules())
def test_loss_and_gradient_are_the_objectives(rule, reduction):
    made = batch()
    loss, gradient, metrics = by_skyrl(made, Algorithm(rule=rule.to_dict()), reduction)
    ours = REDUCTIONS[reduction]
    length = LONGEST if ours == "dr_grpo" else None
    expected = policy_loss(made.new, made.old, made.advantages, made.mask, rule, ours, max_length=length)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, made.new)[0], rtol=1e-4, atol=1e-7)
    assert all(isinstance(value, float) for value in metrics.values())


@pytest.mark.parametrize("correction", CORRECTIONS)
@pytest.mark.parametrize("kind", ["regular", "dual_clip"])
def test_skyrls_own_losses_under_its_corrections(kind, correction):
    made, off = batch(), OffPolicyCorrectionConfig(**CORRECTIONS[correction])
    theirs = AlgorithmConfig(policy_loss_type=kind, clip_ratio_c=3.0, off_policy_correction=off)
    rule = Boundaries.grpo(0.2) if kind == "regular" else Boundaries.dual_clip(0.2, 3.0)
    config = Algorithm(rule=rule.to_dict(), off_policy_correction=off)
    found, expected = (by_skyrl(made, each, "token_mean") for each in (config, theirs))
    torch.testing.assert_close(found[:2], expected[:2], rtol=1e-5, atol=1e-7)
    assert found[2].keys() >= expected[2].keys() - {"clip_ratio"}
    plain = by_skyrl(made, Algorithm(rule=rule.to_dict()), "token_mean")
    assert (plain[1] - found[1]).abs().max() > 1e-4  # the correction does something here


def test_dual_clip_and_plain_clipping_differ_on_this_batch():
    losses = [
        by_skyrl(batch(), Algorithm(rule=rule.to_dict()), "token_mean")[0].item() for rule in known_rules().values()
    ]
    assert len({round(loss, 5) for loss in losses}) >= 5


def test_skyrls_command_line_sets_the_rule():
    given = OmegaConf.create({"rule": {"name": "grpo", "eps": 0.3}, "loss_reduction": "sequence_mean"})
    config = Algorithm.from_dict_config(given)
    made = batch()
    loss, _, _ = by_skyrl(made, config, "sequence_mean")
    expected = policy_loss(made.new, made.old, made.advantages, made.mask, Boundaries.grpo(0.3))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_name_that_is_taken_is_not_overwritten():
    with pytest.raises(ValueError, match="not overwritten"):
        skyrl.register()


def test_another_version_is_refused_by_name(monkeypatch):
    monkeypatch.setattr("abcgrpo.engines.settings.version", lambda name: "0.3.0")
    with pytest.raises(RuntimeError, match=r"skyrl 0\.4, and skyrl 0\.3\.0 is installed"):
        skyrl.register()
    assert importlib.metadata.version("skyrl").startswith("0.4")


def test_what_would_be_ignored_is_refused():
    with pytest.raises(ValueError, match="use_tis=True has no effect"):
        by_skyrl(batch(), Algorithm(use_tis=True), "token_mean")
    with pytest.raises(ValueError, match="names no clipping rule"):
        by_skyrl(batch(), AlgorithmConfig(policy_loss_type="abcgrpo"), "token_mean")
