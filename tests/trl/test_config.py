import dataclasses
import math

import pytest
from peft import LoraConfig
from trl import GRPOConfig

from abcgrpo import Boundaries
from abcgrpo.trl import ABCGRPOConfig
from abcgrpo.trl.config import CHOICES, REFUSED_OPTIONS, FastGRPOConfig
from tests.trl.options import REFUSED
from tests.trl.trainers import abc_trainer, host_trainer, settings, tiny_model


def test_thresholds_become_boundaries(tmp_path):
    config = ABCGRPOConfig(
        **settings(tmp_path), eps_pos_high=0.1, eps_pos_low=0.2, eps_neg_high=math.inf, eps_neg_low=0.3
    )
    assert config.clipping_rule == Boundaries(0.1, 0.2, math.inf, 0.3)
    assert ABCGRPOConfig(**settings(tmp_path)).clipping_rule == Boundaries()


def test_every_other_default_is_the_hosts(tmp_path):
    ours, theirs = (config(str(tmp_path), use_cpu=True) for config in (ABCGRPOConfig, GRPOConfig))
    for option in dataclasses.fields(GRPOConfig):
        assert repr(getattr(ours, option.name)) == repr(getattr(theirs, option.name)), option.name


@pytest.mark.parametrize("name", REFUSED_OPTIONS)
def test_an_option_that_would_be_ignored_is_refused_by_name(tmp_path, name):
    default = next(option.default for option in dataclasses.fields(GRPOConfig) if option.name == name)
    assert REFUSED[name] != default
    with pytest.raises(ValueError, match=name):
        ABCGRPOConfig(**settings(tmp_path), **{name: REFUSED[name]})


def test_a_router_loss_that_is_switched_off_is_no_router_loss(tmp_path):
    assert ABCGRPOConfig(**settings(tmp_path), router_aux_loss_coef=0.0).router_aux_loss_coef == 0.0


@pytest.mark.parametrize("loss_type", ["luspo", "vespo", "cispo", "sapo"])
def test_another_objective_is_refused(tmp_path, loss_type):
    with pytest.raises(ValueError, match=f"{loss_type}' is another objective"):
        ABCGRPOConfig(**settings(tmp_path), loss_type=loss_type)


MISSPELT = {
    "loss_type": "dapoo",
    "importance_sampling_level": "tokens",
    "scale_rewards": "groups",
    "multi_objective_aggregation": "sum_and_normalize",
    "vllm_mode": "servers",
    "vllm_importance_sampling_mode": "sequence_masks",
    "update": "fats",
    "generation": "stok",
    "vllm_dtype": "float23",
}


@pytest.mark.parametrize("config", [FastGRPOConfig, ABCGRPOConfig])
@pytest.mark.parametrize("name", CHOICES)
def test_a_value_that_an_option_does_not_have_is_refused_with_the_nearest(tmp_path, config, name):
    """TRL reads most of them in the middle of training; an unknown level was overwritten by the rule's."""
    for value in (MISSPELT[name], "foo"):
        with pytest.raises(ValueError, match=f"{name} is one of .*, not '{value}'") as refused:
            config(**settings(tmp_path), **{name: value})
        assert ("Did you mean" in str(refused.value)) == (value != "foo")
    for value in CHOICES[name] if config is FastGRPOConfig else ():
        sampler = {"use_vllm": True} if name == "vllm_dtype" else {}
        assert FastGRPOConfig(**settings(tmp_path), **sampler, **{name: value})


@pytest.mark.parametrize("name", ["eps_pos_high", "eps_pos_low", "eps_neg_high", "eps_neg_low"])
@pytest.mark.parametrize("value", [-0.1, math.nan])
def test_a_bad_threshold_is_refused_by_name(tmp_path, name, value):
    with pytest.raises(ValueError, match=name):
        ABCGRPOConfig(**settings(tmp_path), **{name: value})


def test_the_hosts_configuration_is_refused_by_the_trainer(tmp_path):
    from abcgrpo.trl import ABCGRPOTrainer

    with pytest.raises(TypeError, match="ABCGRPOConfig"):
        ABCGRPOTrainer(tiny_model(), lambda **_: [], GRPOConfig(**settings(tmp_path)))


def test_a_reward_of_the_wrong_length_stops_with_its_name(tmp_path):
    trainer = abc_trainer(tmp_path, reward=lambda completions, **_: [1.0], max_steps=1)
    with pytest.raises(ValueError, match="returned 1 rewards"):
        trainer.train()


def test_lora_trains_the_adapter_alone(tmp_path):
    trainer = abc_trainer(tmp_path, max_steps=2, peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    trainer.train()
    moved = {name for name, parameter in trainer.model.named_parameters() if not parameter.equal(before[name])}
    assert moved
    assert all("lora" in name for name in moved)


def test_completions_that_nobody_could_score_do_not_move_the_policy(tmp_path):
    model = tiny_model()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    unscored = {"reward": lambda completions, **_: [None] * len(completions), "max_failed_rewards": 1.0}
    abc_trainer(tmp_path, model=model, max_steps=1, **unscored).train()
    assert all(parameter.equal(old) for parameter, old in zip(model.parameters(), before, strict=True))


def test_both_trainers_take_the_same_script(tmp_path):
    """Changing two names is all: the same keyword arguments build both."""
    for make in (host_trainer, abc_trainer):
        assert make(tmp_path).args.loss_type == "dapo"
