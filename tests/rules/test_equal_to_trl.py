"""Rules here are TRL's own losses, in value and gradient: the trainer's `_compute_loss`, given the log-probs."""

import pytest
import torch

from abcgrpo.rules import Rule, resolve_rule
from tests.rules.batches import TokenBatch, loss_and_gradient, token_batch
from tests.trl.trainers import host_trainer

WIDTH = 16
REDUCTIONS = {"grpo": "sequence_mean", "bnpo": "token_mean", "dapo": "token_mean", "dr_grpo": "dr_grpo"}
LOSSES = {
    "grpo": ({}, {"name": "grpo"}, {"name": "grpo", "eps": 0.25}),
    "grpo with epsilon_high": (
        {"epsilon": 0.1, "epsilon_high": 0.4},
        {"name": "clip_higher", "low": 0.1, "high": 0.4},
        {"name": "clip_higher", "low": 0.1, "high": 0.3},
    ),
    "grpo with delta": ({"delta": 1.5}, {"name": "two_sided", "delta": 1.5}, {"name": "two_sided", "delta": 1.8}),
    "GSPO's ratio": (
        {"importance_sampling_level": "sequence", "epsilon": 0.03, "epsilon_high": 0.04},
        {"name": "gspo", "low": 0.03, "high": 0.04},
        {"name": "gspo", "low": 0.03, "high": 0.5},
    ),
}
"""TRL's options, the rule here, and the same with a parameter moved, which must differ."""
OWN = {
    "cispo": ({"epsilon_high": 2.0}, "token_mean", {"name": "cispo", "cap": 2}, {"name": "cispo", "cap": 3}),
    "sapo": ({}, "sequence_mean", {"name": "sapo"}, {"name": "sapo", "tau_neg": 1.0}),
}
"""The losses with a `loss_type` and a reduction of their own."""


def trl_loss_and_gradient(tmp_path, batch: TokenBatch, **options):
    """TRL's loss of log-probs that no model computed."""
    trainer = host_trainer(tmp_path, max_completion_length=WIDTH, **options)
    logprobs = batch.logprobs.clone().requires_grad_()
    entropies = torch.zeros_like(logprobs)
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (logprobs, entropies, None)
    inputs = {
        "prompt_ids": torch.ones(len(batch.mask), 1, dtype=torch.long),
        "prompt_mask": torch.ones(len(batch.mask), 1, dtype=torch.long),
        "completion_ids": torch.ones_like(batch.mask, dtype=torch.long),
        "completion_mask": batch.mask.long(),
        "old_per_token_logps": batch.old_logprobs,
        "advantages": batch.advantages,
        "num_items_in_batch": batch.mask.sum(),
    }
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer._compute_loss(trainer.model, inputs)
    (gradient,) = torch.autograd.grad(loss, logprobs)
    return loss.detach(), gradient


def apart(theirs, rule: Rule, batch: TokenBatch, reduction: str) -> tuple[float, float]:
    """Relative difference of the losses, and of the gradients in norm."""
    options = {"max_length": WIDTH} if reduction == "dr_grpo" else {}
    ours = loss_and_gradient(rule, batch, reduction, **options)
    value = (ours[0] - theirs[0]).abs() / theirs[0].abs()
    return value.item(), ((ours[1] - theirs[1]).norm() / theirs[1].norm()).item()


def assert_same(tmp_path, options: dict, rule: dict, control: dict, reduction: str) -> None:
    seen = []
    for seed in range(4):
        batch = token_batch(seed)
        theirs = trl_loss_and_gradient(tmp_path, batch, **options)
        value, gradient = apart(theirs, resolve_rule(rule), batch, reduction)
        assert value <= 1e-6
        assert gradient <= 1e-6
        seen.append(apart(theirs, resolve_rule(control), batch, reduction))
    assert max(value for value, _ in seen) > 1e-4, "a moved parameter is not seen in the value"
    assert max(gradient for _, gradient in seen) > 1e-3, "nor in the gradient"


@pytest.mark.parametrize("loss_type", REDUCTIONS)
@pytest.mark.parametrize("name", LOSSES)
def test_a_rule_is_trls_loss_under_every_shared_reduction(tmp_path, name: str, loss_type: str) -> None:
    options, rule, control = LOSSES[name]
    assert_same(tmp_path, options | {"loss_type": loss_type}, rule, control, REDUCTIONS[loss_type])


@pytest.mark.parametrize("loss_type", OWN)
def test_a_rule_is_trls_loss_of_its_own_type(tmp_path, loss_type: str) -> None:
    options, reduction, rule, control = OWN[loss_type]
    assert_same(tmp_path, options | {"loss_type": loss_type}, rule, control, reduction)
