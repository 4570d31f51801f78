"""A step whose numbers are not finite is not taken: weights and optimizer as if it had not been, and its cause told."""

import logging
import math
from itertools import pairwise

import pytest
import torch

from abcgrpo.errors import UserError
from abcgrpo.trl import ABCGRPOTrainer
from tests.trl.trainers import abc_trainer

STEPS = 6
BAD_STEP = 4
"""Of two micro-batches; the first one of them is spoilt."""


def spoilt(kind: str, steps: set[int]) -> type[ABCGRPOTrainer]:
    """The trainer, with one fault injected in the first micro-batch of these steps."""

    class Spoilt(ABCGRPOTrainer):
        def _compute_loss(self, model, inputs):
            hit = self.state.global_step + 1 in steps and self._step % 2 == 0
            if hit and kind == "the advantage":
                inputs["advantages"] = inputs["advantages"].clone()
                inputs["advantages"][5] = math.nan
            self._spoil_logprob = hit and kind == "the log-prob"
            loss = super()._compute_loss(model, inputs)
            if hit and kind == "the loss":
                loss = loss * math.inf
            if hit and kind == "the gradient":
                loss = loss + Backwards.apply(next(model.parameters()))
            return loss

        def _get_per_token_logps_and_entropies(self, *args, **kwargs):
            logprobs, entropies, router = super()._get_per_token_logps_and_entropies(*args, **kwargs)
            if getattr(self, "_spoil_logprob", False):
                logprobs = logprobs + torch.zeros_like(logprobs).index_fill(0, torch.tensor([5]), -math.inf)
                assert self._passing is not None
                self._passing.logprobs = logprobs.detach()  # as if the model had given them
            return logprobs, entropies, router

    return Spoilt


class Backwards(torch.autograd.Function):
    """0 forward, NaN backward."""

    @staticmethod
    def forward(ctx, weight):
        ctx.shape = weight.shape
        return weight.new_zeros(())

    @staticmethod
    def backward(ctx, gradient):
        return torch.full(ctx.shape, math.nan)


def trained(tmp_path, monkeypatch, kind, steps, **options):
    """The trainer after a run, with weights and optimizer state after every step."""
    monkeypatch.setattr("tests.trl.trainers.ABCGRPOTrainer", spoilt(kind, steps))
    options = {"learning_rate": 1e-2, "max_grad_norm": 1.0} | options
    trainer = abc_trainer(
        tmp_path, max_steps=STEPS, gradient_accumulation_steps=2, steps_per_generation=2, optim="adamw_torch",
        lr_scheduler_type="linear", **options,
    )  # fmt: skip
    after = []
    log = trainer.log

    def remember(logs, *args):
        weights = [parameter.detach().clone() for parameter in trainer.model.parameters()]
        states = [
            {k: v.clone() for k, v in trainer.optimizer.state[p].items()}
            for p in trainer.model.parameters()
            if p in trainer.optimizer.state
        ]
        after.append((weights, states))
        log(logs, *args)

    trainer.log = remember
    trainer.train()
    return trainer, after


def equal(first, second) -> bool:
    weights = all(torch.equal(a, b) for a, b in zip(first[0], second[0], strict=True))
    return weights and all(
        torch.equal(a[name], b[name]) for a, b in zip(first[1], second[1], strict=True) for name in a
    )


@pytest.mark.parametrize("kind", ["the log-prob", "the advantage", "the loss", "the gradient"])
def test_the_step_is_lost_and_nothing_else(tmp_path, monkeypatch, caplog, kind):
    with caplog.at_level(logging.WARNING):
        trainer, after = trained(tmp_path, monkeypatch, kind, {BAD_STEP})
    assert equal(after[BAD_STEP - 1], after[BAD_STEP - 2])  # not taken
    assert not equal(after[BAD_STEP], after[BAD_STEP - 1])  # the next one was
    assert all(weight.isfinite().all() for weight in after[-1][0])
    assert [float(state["step"]) for state in after[-1][1]] == [STEPS - 1.0] * len(after[-1][1])
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert [line["skipped_steps"] for line in lines] == [0, 0, 0, 1, 1, 1]
    rates = [line["learning_rate"] for line in lines]
    assert rates == pytest.approx([1e-2 * (STEPS - step) / STEPS for step in range(STEPS)])  # goes on by the step
    assert f"Step {BAD_STEP} is skipped: {kind} is" in caplog.text
    assert "of an answer to '" in caplog.text
    assert "whose ratio is" in caplog.text


def test_without_a_fault_every_step_is_taken(tmp_path, monkeypatch):
    trainer, after = trained(tmp_path, monkeypatch, "the loss", set())
    assert not any(equal(first, second) for first, second in pairwise(after[:-1]))
    assert all(line["skipped_steps"] == 0 for line in trainer.state.log_history if "loss" in line)


def test_steps_in_a_row_stop_the_run_and_the_last_state_stays(tmp_path, monkeypatch):
    options = {"max_skipped_in_a_row": 2, "resume_minutes": 0.0}
    with pytest.raises(UserError, match=r"2 steps in a row, up to step 5.*the advantage is nan at token 0"):
        trained(tmp_path, monkeypatch, "the advantage", {2, 4, 5}, **options)
    assert [path.name for path in (tmp_path / "resume").iterdir()] == ["checkpoint-3"]


def test_trouble_is_announced_once(tmp_path, caplog):
    trainer = abc_trainer(tmp_path, warn_ratio_above=3.0, warn_kl_above=0.5)
    trainer.model.train()
    with caplog.at_level(logging.WARNING, logger="abcgrpo.trl.guards.numbers"):
        for ratio, kl in ((2.0, 0.1), (4.0, 0.1), (5.0, 0.6), (1.0, 0.1), (4.0, 0.1)):
            trainer._metrics["train"]["ratio/max"] = [ratio]
            trainer._metrics["train"]["kl"] = [kl]
            trainer._metrics["train"]["sampling/sampling_logp_difference/mean"] = [0.2 if kl == 0.6 else 0.05]
            trainer.log({})
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "Step 0: ratio/max is 4, above 3.",
        "Step 0: kl is 0.6, above 0.5.",
        "Step 0: sampling/sampling_logp_difference/mean is 0.2, above 0.1.",
        "Step 0: ratio/max is 4, above 3.",
    ]


@pytest.mark.parametrize(
    "wrong",
    [{"resume_minutes": -1.0}, {"max_failed_rewards": 1.5}, {"max_skipped_in_a_row": 0}, {"resume_minutes": math.nan}],
)
def test_limits_that_are_none(tmp_path, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        abc_trainer(tmp_path, **wrong)
