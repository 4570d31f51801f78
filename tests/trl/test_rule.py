"""The trainer's clipping rule: named in the configuration, equal to TRL's own losses, and, if it adapts, a state."""

import json
import math
import pickle
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from abcgrpo import Boundaries
from abcgrpo.rules import RULES, AdaptiveRule, Rule
from abcgrpo.rules.cispo import CISPO
from abcgrpo.trl import ABCGRPOConfig
from tests.trl.test_identities import weights_after_training
from tests.trl.test_resume import history, trainer_in, weights
from tests.trl.trainers import abc_trainer, host_trainer, loss_and_gradient, rollout, settings, tiny_model
from tests.trl.update.canned import largest_difference, rollouts, train

INF = math.inf


@dataclass(frozen=True)
class PullsAtAll(Rule):
    """The log-prob itself, whatever the advantage."""

    zero_advantage_is_silent = False

    def surrogate(self, tokens):
        return tokens.ratio * tokens.advantages + 0.1 * tokens.logprobs


@dataclass
class Follows(AdaptiveRule):
    """Bounds the ratio at the largest mean distance |r − 1| that a step had, and 0.5 in the beginning."""

    start: float = 0.5

    def __post_init__(self):
        self.bound = self.start

    def surrogate(self, tokens):
        return tokens.ratio.clamp(1 - self.bound, 1 + self.bound) * tokens.advantages

    def measure(self, tokens):
        distance = (tokens.ratio - 1).abs() * tokens.mask
        return {"distance": distance.sum(), "tokens": tokens.mask.sum()}

    def update(self, sums):
        if sums["distance"] > 0:
            self.bound = 0.5 * self.bound + 0.5 * (sums["distance"] / sums["tokens"]).item()
        return {"bound": self.bound}

    def state_dict(self):
        return {"bound": self.bound}

    def load_state_dict(self, state):
        self.bound = state["bound"]


# -- the configuration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule", ["grpo", {"name": "grpo", "eps": 0.3}, "abcgrpo.rules.grpo.GRPO", Boundaries.grpo(0.3), '{"name": "grpo"}']
)
def test_a_rule_is_a_name_a_mapping_a_path_or_itself(tmp_path, rule):
    config = ABCGRPOConfig(**settings(tmp_path), rule=rule)
    assert json.loads(json.dumps(config.rule))["name"] in ("grpo", "abc_grpo")
    eps = 0.3 if "0.3" in str(rule) else 0.2
    found = config.clipping_rule
    assert (found if isinstance(found, Boundaries) else found.boundaries) == Boundaries.grpo(eps)
    assert pickle.loads(pickle.dumps(config)).clipping_rule == found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "grpo", "eps_pos_low": 0.2}, "two clipping rules"),
        ({"rule": "grpoo"}, "Did you mean 'grpo'"),
        ({"rule": {"name": "grpo", "epsilon": 0.1}}, "Did you mean 'eps'"),
        ({"rule": "grpo", "importance_sampling_level": "sequence"}, "one per token"),
        ({"rule": "grpo", "epsilon": 0.3}, "epsilon=0.3 has no effect"),
        ({"advantages": "grup"}, "Did you mean 'group'"),
        ({"advantages": "group", "scale_rewards": "batch"}, "scale_rewards='batch' has no effect"),
        (
            {"advantages": "group", "multi_objective_aggregation": "normalize_then_sum"},
            "multi_objective_aggregation='normalize_then_sum' has no effect",
        ),
        ({"advantages": {"name": "group", "scale": "x"}}, 'scale must be "none", "group" or "batch"'),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message.split("'")[0]) as refused:
        ABCGRPOConfig(**settings(tmp_path), **options)
    assert message in str(refused.value)


def test_a_rule_of_sequences_sets_the_level_of_the_ratio(tmp_path):
    config = ABCGRPOConfig(**settings(tmp_path), rule="gspo", loss_type="grpo")
    assert config.importance_sampling_level == "sequence"
    assert abc_trainer(tmp_path, rule="gspo", loss_type="grpo").importance_sampling_level == "sequence"


# -- equal to TRL's own losses -----------------------------------------------------------------------------------------

TRLS = {
    "cispo": ({"loss_type": "cispo", "epsilon_high": 5.0}, {"rule": "cispo", "loss_type": "dapo"}),
    "cispo that clips": (
        {"loss_type": "cispo", "epsilon_high": 1.05},
        {"rule": {"name": "cispo", "cap": 1.05}, "loss_type": "dapo"},
    ),
    "sapo": ({"loss_type": "sapo"}, {"rule": "sapo", "loss_type": "grpo"}),
    "gspo": (
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.03, "epsilon_high": 0.04},
        {"rule": {"name": "gspo", "low": 0.03, "high": 0.04}, "loss_type": "grpo"},
    ),
    "grpo": ({"loss_type": "dapo"}, {"rule": "grpo", "loss_type": "dapo"}),
    "grpo with delta": (
        {"loss_type": "dapo", "delta": 1.5},
        {"rule": {"name": "two_sided", "delta": 1.5}, "loss_type": "dapo"},
    ),
}


@pytest.mark.parametrize("name", TRLS)
def test_three_steps_of_trls_own_loss_and_of_the_rule_end_in_the_same_weights(tmp_path, name):
    theirs, ours = TRLS[name]
    shared = {"steps_per_generation": 3, "learning_rate": 2.0}
    initial = torch.cat([p.detach().flatten() for p in tiny_model().parameters()])
    host, _ = weights_after_training(host_trainer, tmp_path / "host", **shared, **theirs)
    own, trainer = weights_after_training(abc_trainer, tmp_path / "ours", **shared, **ours)
    assert (host - initial).norm() > 1e-3
    assert (own - host).norm() <= 1e-4 * (host - initial).norm()
    assert any(trainer.state.log_history[1][f"clip/q{quadrant}"] > 0 for quadrant in (1, 2, 3, 4))  # r is not 1


def test_another_rule_ends_in_other_weights(tmp_path):
    """The negative control."""
    shared = {"steps_per_generation": 3, "learning_rate": 2.0, "loss_type": "dapo"}
    host, _ = weights_after_training(host_trainer, tmp_path / "host", **shared)
    own, _ = weights_after_training(abc_trainer, tmp_path / "ours", **shared, rule="cispo")
    assert (own - host).norm() > 1e-3


def test_rows_that_a_rule_pulls_at_whatever_their_advantage_are_not_skipped(tmp_path):
    from abcgrpo.trl import ABCGRPOTrainer

    canned = rollouts(2, 8, seed=3)
    config = {"config_class": ABCGRPOConfig, "loss_type": "grpo", "folder": str(tmp_path), "rule": PullsAtAll()}
    stock = train(ABCGRPOTrainer, canned, update="stock", **config)
    fast = train(ABCGRPOTrainer, canned, **config)
    assert largest_difference(fast.gradients, stock.gradients) < 2e-5
    assert fast.logs[0]["update/active_rows"] == 1.0

    class SkipsAllTheSame(ABCGRPOTrainer):
        def rows_with_signal(self, batch):
            return (batch["advantages"] != 0) & batch["completion_mask"].bool().any(1)

    broken = train(SkipsAllTheSame, canned, **config)
    assert largest_difference(broken.gradients, stock.gradients) > 2e-3


def test_a_rule_that_looks_across_the_batch_keeps_rows_where_they_are(tmp_path):
    @dataclass(frozen=True)
    class Across(CISPO):
        spans = "batch"

    assert abc_trainer(tmp_path, rule="cispo").update_parts.move
    assert not abc_trainer(tmp_path, rule=Across()).update_parts.move


# -- rules that adapt --------------------------------------------------------------------------------------------------


def test_sums_over_micro_batches_move_the_rule_once_per_step(tmp_path):
    trainer = abc_trainer(tmp_path, gradient_accumulation_steps=2, rule=Follows())
    batches = [rollout(trainer, seed=seed) for seed in (1, 2)]
    distance, tokens = 0.0, 0
    for index, inputs in enumerate(batches):
        trainer.accelerator.gradient_state._set_sync_gradients(index == 1)
        assert trainer.rule.bound == 0.5
        loss_and_gradient(trainer, inputs)
        logprobs, _, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model,
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1),
            torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1),
            inputs["completion_ids"].size(1),
        )
        far: Tensor = (logprobs - inputs["old_per_token_logps"]).exp().sub(1).abs() * inputs["completion_mask"]
        distance, tokens = distance + far.sum().item(), tokens + int(inputs["completion_mask"].sum())
    assert trainer.rule.bound == pytest.approx(0.25 + 0.5 * distance / tokens, rel=1e-5)
    assert trainer._metrics["train"]["rule/bound"] == [trainer.rule.bound]


def test_numbers_that_are_not_finite_do_not_move_it(tmp_path, caplog):
    trainer = abc_trainer(tmp_path, rule=Follows())
    inputs = rollout(trainer)
    inputs["old_per_token_logps"][0, 0] = -INF
    inputs["completion_mask"][0, 0] = 1
    loss_and_gradient(trainer, inputs)
    assert math.isfinite(trainer.rule.bound)


def test_a_run_whose_thresholds_moved_goes_on_bit_for_bit(tmp_path, monkeypatch):
    rule = Follows()
    whole = trainer_in(tmp_path / "whole", tmp_path / "base", rule=rule)
    whole.train()
    assert rule.bound == rule.start  # the one that was given is as it was
    assert whole.rule.bound != rule.start
    options = {"rule": rule, "save_strategy": "no"}
    for step in (3, 8):
        resumed = trainer_in(tmp_path / "resumed", tmp_path / "base", **options)
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        assert resumed.rule.bound == whole.rule.bound
        assert history(resumed) == history(whole)
        assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(resumed).items())
    monkeypatch.setattr(Follows, "load_state_dict", lambda self, state: None)
    forgetful = trainer_in(tmp_path / "resumed", tmp_path / "base", **options)
    forgetful.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-8"))
    assert history(forgetful) != history(whole)


def test_evaluation_does_not_move_it(tmp_path):
    trainer = abc_trainer(tmp_path, rule=Follows())
    loss_and_gradient(trainer, rollout(trainer), train=False)
    assert trainer.rule.bound == 0.5


@pytest.mark.parametrize("rule", ["self_tuned", "bapo"])
def test_the_rules_that_adapt_do_so_in_a_run(tmp_path, rule):
    trainer = abc_trainer(tmp_path, rule=rule, max_steps=4, steps_per_generation=4, learning_rate=2.0)
    before = trainer.rule.state_dict()
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    logged = [{name for name in line if name.startswith("rule/")} for line in lines]
    assert len(logged) == 4
    assert all(names == logged[0] and names for names in logged)
    assert trainer.rule.state_dict() != before
    moved = {name: [line[name] for line in lines] for name in logged[0]}
    assert any(len(set(values)) > 1 for values in moved.values())


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_trains_and_is_written_down(tmp_path, rule):
    trainer = abc_trainer(tmp_path, rule=rule, max_steps=2, steps_per_generation=2, loss_type="grpo")
    trainer.train()
    assert all(math.isfinite(line["loss"]) for line in trainer.state.log_history if "loss" in line)
    trainer.create_model_card("mine")
    card = (tmp_path / "README.md").read_text()
    assert f"## Clipping rule: {rule}" in card
    assert all(f"| {name} |" in card for name in trainer.rule.parameters() if rule != "abc_grpo")
