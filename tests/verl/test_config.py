"""The configuration: closed, frozen, checked; through Hydra as verl's trainer makes it."""

import math
import pickle
from dataclasses import FrozenInstanceError, fields

import pytest

pytest.importorskip("verl", reason="verl has an environment of its own: make test-verl")

from verl.workers.config import ActorConfig, PolicyLossConfig

from abcgrpo import Boundaries
from abcgrpo.verl import LOSS_NAME, ABCGRPOPolicyLossConfig, abc_grpo
from abcgrpo.verl.config import OTHER_LOSSES_OPTIONS
from tests.verl.batches import actor, thresholds, token_batch
from tests.verl.hydra_configs import POLICY_LOSS, actor_config, trainer_config

SELECTED = (f"{POLICY_LOSS}._target_=abcgrpo.verl.ABCGRPOPolicyLossConfig", f"{POLICY_LOSS}.loss_mode=abc_grpo")


def loss_with(config):
    batch = token_batch(seed=0)._asdict()
    return abc_grpo(**batch, loss_agg_mode="token-mean", config=config)


def test_the_defaults_are_the_papers():
    config = ABCGRPOPolicyLossConfig()
    assert config.loss_mode == LOSS_NAME
    assert config.clipping_rule == Boundaries.uniform(0.2)


def test_verls_own_configuration_becomes_the_thresholds():
    numbers = {"eps_pos_high": 0.28, "eps_pos_low": "inf", "eps_neg_high": 2, "eps_neg_low": 0.1}
    config = actor_config(*SELECTED, *(f"+{POLICY_LOSS}.{name}={value}" for name, value in numbers.items()))
    assert isinstance(config.policy_loss, ABCGRPOPolicyLossConfig)
    assert config.policy_loss.clipping_rule == Boundaries(0.28, math.inf, 2.0, 0.1)
    assert loss_with(config)[0].isfinite()  # verl's defaults are none of the refused options


def test_it_travels_to_workers():
    config = thresholds(Boundaries(0.1, math.inf, 0.3, 0.4))
    assert pickle.loads(pickle.dumps(config)).clipping_rule == config.clipping_rule


def test_it_is_frozen():
    with pytest.raises(FrozenInstanceError):
        ABCGRPOPolicyLossConfig().eps_pos_high = 0.3


def test_unknown_keys_are_errors():
    with pytest.raises(TypeError, match="eps_positive_high"):
        ABCGRPOPolicyLossConfig(eps_positive_high=0.3)
    with pytest.raises(Exception, match="eps_positive_high"):
        actor_config(*SELECTED, f"+{POLICY_LOSS}.eps_positive_high=0.3")


@pytest.mark.parametrize("value", [-0.1, math.nan, "wide", True])
def test_thresholds_are_numbers_from_0_to_inf(value):
    with pytest.raises(ValueError, match="eps_neg_low must be a number"):
        ABCGRPOPolicyLossConfig(eps_neg_low=value)


def test_thresholds_for_another_loss_are_an_error():
    with pytest.raises(Exception, match="without effect"):
        actor_config(SELECTED[0])  # verl's YAML says loss_mode: vanilla


def test_the_loss_without_thresholds_is_an_error():
    with pytest.raises(ValueError, match=r"_target_=abcgrpo\.verl\.ABCGRPOPolicyLossConfig"):
        loss_with(actor_config(SELECTED[1]))
    with pytest.raises(ValueError, match="pass config="):
        loss_with(None)


@pytest.mark.parametrize("name", ["clip_ratio", "clip_ratio_low", "clip_ratio_high", "clip_ratio_c", "tau_pos"])
def test_options_of_other_losses_in_the_actor_are_errors(name):
    with pytest.raises(ValueError, match=f"{name}=9.0 has no effect on abc_grpo"):
        loss_with(actor(ABCGRPOPolicyLossConfig(), **{name: 9.0}))


@pytest.mark.parametrize("name", ["clip_cov_ratio", "kl_cov_ratio", "ppo_kl_coef", "dro_beta"])
def test_options_of_other_losses_in_the_policy_loss_are_errors(name):
    with pytest.raises(ValueError, match=f"{name}=9.0 has no effect on abc_grpo"):
        ABCGRPOPolicyLossConfig(**{name: 9.0})


def test_every_refused_option_is_one_of_verls():
    assert OTHER_LOSSES_OPTIONS.keys() <= {
        field.name for host in (ActorConfig, PolicyLossConfig) for field in fields(host)
    }


def test_equation_3_is_verls_advantage_without_the_division():
    import numpy
    import torch
    from verl.trainer.ppo.core_algos import get_adv_estimator_fn

    from abcgrpo import group_advantages

    config = trainer_config("algorithm.adv_estimator=grpo", "algorithm.norm_adv_by_std_in_grpo=false")
    rewards = torch.tensor([1.0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1, 1])
    mask = torch.arange(5) < torch.tensor([5, 2, 3, 1] * 3)[:, None]
    token_rewards = torch.zeros(12, 5)
    token_rewards[:, 0] = rewards
    advantages, _ = get_adv_estimator_fn(config.algorithm.adv_estimator)(
        token_level_rewards=token_rewards,
        response_mask=mask,
        index=numpy.repeat(["a", "b", "c"], 4),
        config=config.algorithm,
        norm_adv_by_std_in_grpo=config.algorithm.norm_adv_by_std_in_grpo,
    )
    torch.testing.assert_close(advantages, group_advantages(rewards, group_size=4)[:, None] * mask)
