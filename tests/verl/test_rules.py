"""Every rule through verl's own dispatch, and equality with verl's own losses in value and gradient."""

import math

import pytest
import torch

pytest.importorskip("verl", reason="verl has an environment of its own: make test-verl")

from verl.workers.config import PolicyLossConfig

from abcgrpo.objective import policy_loss
from abcgrpo.rules import RULES, AdaptiveRule, resolve_rule
from abcgrpo.verl import LOSS_NAME, ABCGRPOPolicyLossConfig
from tests.verl.batches import TokenBatch, actor, extreme_batch, ruled
from tests.verl.hydra_configs import POLICY_LOSS, actor_config
from tests.verl.test_config import SELECTED
from tests.verl.test_loss import MODES, through_verl

STATELESS = [name for name in RULES if not isinstance(resolve_rule(name), AdaptiveRule)]
CLIP = {"clip_ratio": 0.2, "clip_ratio_low": 0.2, "clip_ratio_high": 0.28, "clip_ratio_c": 3.0}
SEQUENCE = ("seq-mean-token-mean",)
EQUAL = {
    "vanilla": ({**CLIP}, {"name": "abc_grpo", "eps_pos_high": 0.28, "eps_pos_low": "inf", "eps_neg_high": 2}, MODES),
    "vanilla as dual_clip": ({**CLIP, "clip_ratio_high": 0.2}, {"name": "dual_clip", "c": 3}, MODES),
    "dppo_tv": ({"clip_ratio_low": 0.2, "clip_ratio_high": 0.2, "clip_ratio_c": 20.0}, {"name": "dppo_tv"}, MODES),
    "dppo_kl": ({"clip_ratio_low": 0.05, "clip_ratio_high": 0.05, "clip_ratio_c": 20.0}, {"name": "dppo_kl"}, MODES),
    "gspo": ({"clip_ratio_low": 3e-2, "clip_ratio_high": 4e-2}, {"name": "gspo", "low": 3e-2, "high": 4e-2}, MODES),
    "sapo": ({}, {"name": "sapo"}, SEQUENCE),
    "geo_mean": ({"clip_ratio_low": 0.4, "clip_ratio_high": 0.4}, {"name": "gmpo"}, SEQUENCE),
    "cispo": ({**CLIP}, {"name": "cispo", "floor": 0.8, "cap": 1.28}, MODES),
}
"""verl's loss → its options, the rule here, and the reductions that it follows."""
CONTROLS = {
    "vanilla": {"name": "abc_grpo", "eps_pos_high": 0.28, "eps_pos_low": "inf", "eps_neg_high": 1.9},
    "vanilla as dual_clip": {"name": "dual_clip", "c": 3, "eps": 0.25},
    "dppo_tv": {"name": "dppo_tv", "cap": 3},
    "dppo_kl": {"name": "dppo_kl", "delta": 0.04},
    "gspo": {"name": "gspo", "low": 3e-2, "high": 5e-1},
    "sapo": {"name": "sapo", "tau_neg": 1.0},
    "geo_mean": {"name": "gmpo", "high": 0.3},
    "cispo": {"name": "cispo", "floor": 0.8, "cap": 1.5},
}
"""The same with a parameter moved: these must differ."""


def both(loss: str, rule: dict, mode: str, seed: int):
    options = EQUAL[loss][0]
    batch = extreme_batch(seed)
    if loss == "dppo_tv":  # some ratios above the cap
        batch = batch._replace(log_prob=torch.where(batch.old_log_prob < -6, batch.old_log_prob + 4, batch.log_prob))
    theirs = through_verl(batch, actor(PolicyLossConfig(), **options), loss.split()[0], mode)
    return theirs, through_verl(batch, actor(ruled(rule)), LOSS_NAME, mode)


def apart(theirs, ours) -> tuple[float, float]:
    """Relative difference of the losses, and of the gradients in norm."""
    value = (ours[0] - theirs[0]).abs() / theirs[0].abs()
    return value.item(), ((ours[1] - theirs[1]).norm() / theirs[1].norm()).item()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("loss", "mode"), [(loss, mode) for loss in EQUAL for mode in EQUAL[loss][2]])
def test_a_rule_is_verls_own_loss_in_value_and_gradient(loss: str, mode: str, seed: int) -> None:
    value, gradient = apart(*both(loss, EQUAL[loss][1], mode, seed))
    assert value <= 1e-6
    assert gradient <= 1e-6


@pytest.mark.parametrize("loss", EQUAL)
def test_a_moved_parameter_is_seen(loss: str) -> None:
    differences = [apart(*both(loss, CONTROLS[loss], EQUAL[loss][2][-1], seed)) for seed in range(4)]
    assert max(value for value, _ in differences) > 1e-4
    assert max(gradient for _, gradient in differences) > 1e-3


@pytest.mark.parametrize("name", STATELESS)
def test_every_stateless_rule_runs_through_verls_dispatch(name: str) -> None:
    batch = extreme_batch(7)
    loss, gradient, metrics = through_verl(batch, actor(ruled(name)), LOSS_NAME, "token-mean")
    logprobs = batch.log_prob.clone().requires_grad_()
    expected = policy_loss(
        logprobs, batch.old_log_prob, batch.advantages, batch.response_mask, resolve_rule(name), "token_mean"
    )
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(gradient, logprobs.grad, rtol=1e-6, atol=1e-8)
    assert all(math.isfinite(value) for value in metrics.values())
    if name == "open":
        assert metrics["actor/pg_clipfrac"] == 0
        assert metrics["actor/mass/removed/trained"] == pytest.approx(0, abs=1e-5)
        assert metrics["actor/mass/removed/grpo"] > 0.01 * metrics["actor/mass/all"]


def test_shares_of_masses_are_exact_over_micro_batches() -> None:
    """The mean of sums over equally many micro-batches, divided: the share in the whole batch."""
    batch = extreme_batch(3)
    config = actor(ruled("grpo"))
    whole = through_verl(batch, config, LOSS_NAME, "token-mean")[2]
    cuts = (slice(0, 1), slice(1, 9), slice(9, 12))
    parts = [
        through_verl(TokenBatch(*(tensor[cut] for tensor in batch)), config, LOSS_NAME, "token-mean")[2] for cut in cuts
    ]
    for name in ("actor/mass/removed/abc_grpo", "actor/mass/removed/dppo_tv/q3", "actor/mass/distance/trained/cispo"):
        share = sum(part[name] for part in parts) / sum(part["actor/mass/all"] for part in parts)
        assert share == pytest.approx(whole[name] / whole["actor/mass/all"], rel=1e-5)
        assert share > 0


def test_shadow_rules_can_be_chosen_and_left_out() -> None:
    batch = extreme_batch(3)
    off = through_verl(batch, actor(ruled("grpo", shadow_rules=[])), LOSS_NAME, "token-mean")[2]
    assert not any(name.startswith("actor/mass") for name in off)
    chosen = [{"name": "sapo", "tau_pos": 2.0}]
    some = through_verl(batch, actor(ruled("grpo", shadow_rules=chosen)), LOSS_NAME, "token-mean")[2]
    assert "actor/mass/removed/sapo/q4" in some
    assert "actor/mass/removed/open" not in some


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rule=cispo"], resolve_rule("cispo")),
        (["rule.name=clip_higher", "rule.high=0.3"], resolve_rule({"name": "clip_higher", "high": 0.3})),
        (["rule={name: dppo_tv, delta: 0.1}"], resolve_rule({"name": "dppo_tv", "delta": 0.1})),
        (["rule=abcgrpo.rules.spo.SPO"], resolve_rule("spo")),
    ],
)
def test_a_rule_is_named_in_verls_configuration(arguments: list[str], expected) -> None:
    config = actor_config(*SELECTED, *(f"+{POLICY_LOSS}.{argument}" for argument in arguments))
    assert config.policy_loss.clipping_rule == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "cispoo"}, "Did you mean 'cispo'"),
        ({"rule": {"name": "cispo", "top": 3}}, "policy_loss.rule"),
        ({"rule": "grpo", "eps_pos_low": 0.1}, "a rule and thresholds are both set"),
        ({"rule": "self_tuned"}, "Train this rule with TRL"),
        ({"rule": "bapo"}, "once per optimizer step"),
        ({"shadow_rules": ["m2po"]}, "cannot be a shadow rule"),
    ],
)
def test_what_cannot_work_is_refused_when_the_configuration_is_built(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ABCGRPOPolicyLossConfig(**options)
