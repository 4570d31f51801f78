"""TRL's own GRPO loss is a setting of the four boundaries: equal in value and gradient, for every shared option."""

import math

import pytest
import torch

from abcgrpo import Boundaries
from abcgrpo.trl import ABCGRPOTrainer
from tests.trl.trainers import COMPLETION, abc_trainer, host_trainer, loss_and_gradient, rollout, tiny_model

INF = math.inf
RULES = {
    "grpo": ({}, Boundaries.grpo(0.2)),
    "clip_higher": ({"epsilon": 0.1, "epsilon_high": 0.4}, Boundaries.clip_higher(0.1, 0.4)),
    "two_sided": ({"delta": 1.5}, Boundaries.two_sided(0.2, 1.5)),
}
OPTIONS = {
    "plain": {},
    "accumulation": {"gradient_accumulation_steps": 4},
    "several mini-batches": {"steps_per_generation": 4},
    "reference": {"beta": 0.1},
    "reference, KL not reweighted": {"beta": 0.1, "use_bias_correction_kl": False},
    "sequence ratio": {"importance_sampling_level": "sequence"},
}


def both_losses(tmp_path, rule="grpo", loss_type="dapo", train=True, change=None, **options):
    """(loss, gradient) of the host and of ours on the same rollout, whose tokens are clipped in all four quadrants."""
    host_options, bounds = RULES[rule]
    shared = options | {"loss_type": loss_type}
    beta = shared.pop("beta", 0.0)
    host = host_trainer(tmp_path / "host", **shared, **host_options)
    ours = abc_trainer(tmp_path / "ours", **shared, **bounds.parameters())
    inputs = rollout(host)
    for trainer in (host, ours):
        trainer.beta = beta  # the reference's log-probs are in the rollout: no second model is needed
        if change:
            change(trainer, inputs)
    return loss_and_gradient(host, dict(inputs), train), loss_and_gradient(ours, dict(inputs), train)


def assert_equal(host, ours):
    assert ours[0] == pytest.approx(host[0], rel=1e-5, abs=1e-7)
    assert (ours[1] - host[1]).norm() <= 1e-5 * host[1].norm()
    assert host[1].norm() > 1e-4


@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dapo", "dr_grpo"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_grpo_is_two_open_bounds(tmp_path, loss_type, options):
    assert_equal(*both_losses(tmp_path, loss_type=loss_type, **options))


@pytest.mark.parametrize("rule", ["clip_higher", "two_sided"])
@pytest.mark.parametrize("loss_type", ["grpo", "dapo"])
def test_other_rules_are_settings_too(tmp_path, rule, loss_type):
    assert_equal(*both_losses(tmp_path, rule, loss_type))


@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dapo", "dr_grpo"])
def test_evaluation_mode_is_neither_accumulated_nor_split(tmp_path, loss_type):
    options = {"gradient_accumulation_steps": 2, "steps_per_generation": 4}
    assert_equal(*both_losses(tmp_path, loss_type=loss_type, train=False, **options))


def sampled_by_vllm(trainer, inputs):
    """As after a vLLM rollout: the ratio of trainer over sampler is in the inputs."""
    trainer.use_vllm = True


def with_tool_output(trainer, inputs):
    inputs["tool_mask"] = (torch.arange(COMPLETION) % 3 != 1).long().expand_as(inputs["completion_mask"])


def with_truncated_rows(trainer, inputs):
    """As `mask_truncated_completions` leaves them: no token of two rows counts."""
    inputs["completion_mask"] = inputs["completion_mask"].clone()
    inputs["completion_mask"][:2] = 0


def with_token_advantages(trainer, inputs):
    inputs["advantages"] = torch.randn(
        len(inputs["completion_mask"]), COMPLETION, generator=torch.Generator().manual_seed(3)
    )


def on_policy(trainer, inputs):
    """As where the rollout's policy is the current one: the host computes no old log-probs."""
    inputs.pop("old_per_token_logps", None)


@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dapo", "dr_grpo"])
@pytest.mark.parametrize(
    "change", [sampled_by_vllm, with_tool_output, with_truncated_rows, with_token_advantages, on_policy]
)
def test_every_kind_of_rollout(tmp_path, loss_type, change):
    assert_equal(*both_losses(tmp_path, loss_type=loss_type, change=change))


def test_the_second_bound_makes_a_difference(tmp_path):
    """The negative control: with ε2 or ε3 closed, the loss is not the host's."""
    host = host_trainer(tmp_path / "host")
    inputs = rollout(host)
    expected, gradient = loss_and_gradient(host, inputs)
    for closed in ({"eps_pos_low": 0.2, "eps_neg_high": INF}, {"eps_pos_low": INF, "eps_neg_high": 0.2}):
        loss, other = loss_and_gradient(abc_trainer(tmp_path / "ours", **closed), inputs)
        assert abs(loss - expected) > 1e-3
        assert (other - gradient).norm() > 1e-2 * gradient.norm()


def weights_after_training(make, tmp_path, steps=3, **options):
    if make is not host_trainer:  # so that both draw the same answers from one seed
        options = {"generation": "stock"} | options
    model = tiny_model()
    trainer = make(tmp_path, model=model, max_steps=steps, **options)
    trainer.train()
    return torch.cat([p.detach().flatten() for p in model.parameters()]), trainer


@pytest.mark.parametrize(
    "options",
    [
        {"steps_per_generation": 3},
        {
            "steps_per_generation": 4,
            "gradient_accumulation_steps": 2,
            "num_iterations": 2,
            "loss_type": "grpo",
        },
        {"steps_per_generation": 2, "mask_truncated_completions": True, "loss_type": "bnpo"},
    ],
    ids=["mini-batches", "iterations and accumulation", "truncation masked"],
)
def test_three_steps_of_training_give_the_hosts_weights(tmp_path, options):
    """Both really run: generation, rewards, advantages, loss, optimizer; the same seed."""
    initial = torch.cat([p.detach().flatten() for p in tiny_model().parameters()])
    theirs, _ = weights_after_training(host_trainer, tmp_path / "host", **options)
    ours, _ = weights_after_training(abc_trainer, tmp_path / "ours", **options, eps_pos_low=INF, eps_neg_high=INF)
    assert (theirs - initial).norm() > 1e-3
    assert (ours - theirs).norm() <= 1e-4 * (theirs - initial).norm()


def test_four_bounds_train_to_other_weights(tmp_path):
    """The negative control of the equality above."""
    options = {"steps_per_generation": 3, "learning_rate": 2.0}
    theirs, _ = weights_after_training(host_trainer, tmp_path / "host", **options)
    ours, trainer = weights_after_training(abc_trainer, tmp_path / "ours", **options)
    assert any(line.get("clip/q2", 0) + line.get("clip/q4", 0) > 0 for line in trainer.state.log_history)
    assert (ours - theirs).norm() > 1e-3


def test_every_step_of_the_loss_can_be_replaced_by_itself(tmp_path, monkeypatch):
    """A subclass that doubles one of them doubles the loss, and the others stay."""
    inputs = rollout(abc_trainer(tmp_path))
    expected, gradient = loss_and_gradient(abc_trainer(tmp_path), dict(inputs))
    for name in ("token_loss", "corrected_for_sampler", "reduced"):

        def doubled(self, *arguments, name=name):
            return 2 * getattr(ABCGRPOTrainer, name)(self, *arguments)

        monkeypatch.setattr("tests.trl.trainers.ABCGRPOTrainer", type("Doubled", (ABCGRPOTrainer,), {name: doubled}))
        loss, other = loss_and_gradient(abc_trainer(tmp_path), dict(inputs))
        assert loss == pytest.approx(2 * expected, rel=1e-6), name
        assert torch.allclose(other, 2 * gradient, rtol=1e-5, atol=1e-7), name

    class Shifted(ABCGRPOTrainer):
        def policy_logprobs(self, model, inputs):
            return super().policy_logprobs(model, inputs).detach() + self.shift

        def divergence(self, logprobs, old_logprobs, reference_logprobs, mask):
            return torch.full_like(logprobs, 3.0)

    monkeypatch.setattr("tests.trl.trainers.ABCGRPOTrainer", Shifted)
    trainer = abc_trainer(tmp_path, loss_type="grpo")
    trainer.shift = torch.zeros((), requires_grad=True)
    trainer.current_gradient_accumulation_steps = 1
    plain = trainer._compute_loss(trainer.model, dict(inputs))
    plain.backward()
    assert trainer.shift.grad.abs() > 1e-3  # through the forward pass that was put in
    trainer.beta = 0.5
    assert trainer._compute_loss(trainer.model, dict(inputs)).item() == pytest.approx(plain.item() + 1.5, rel=1e-5)
