"""What is logged per optimizer step, against a plain count over all of the step's tokens."""

import math

import pytest
import torch

from abcgrpo.trl.batch import loss_mask
from tests.trl.trainers import abc_trainer, loss_and_gradient, rollout


def plain_count(trainer, batches):
    """Clip events, largest ratio and entropy, token by token in Python."""
    events, tokens, largest, entropy = [0, 0, 0, 0], 0, 0.0, 0.0
    for inputs in batches:
        with torch.no_grad():
            logprobs, entropies, _ = trainer._get_per_token_logps_and_entropies(
                trainer.model,
                torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1),
                torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1),
                inputs["completion_ids"].size(1),
                compute_entropy=True,
            )
        ratios = (logprobs - inputs["old_per_token_logps"]).exp()
        for row, column in loss_mask(inputs).nonzero().tolist():
            ratio, advantage = ratios[row, column].item(), inputs["advantages"][row].item()
            tokens += 1
            entropy += entropies[row, column].item()
            largest = max(largest, ratio)
            if ratio > 1.2 or ratio < 0.8:
                quadrant = (0 if ratio > 1 else 1) if advantage > 0 else (3 if ratio > 1 else 2)
                events[quadrant] += 1
    return events, tokens, largest, entropy / tokens


def test_one_value_per_step_weighted_by_tokens(tmp_path):
    trainer = abc_trainer(tmp_path, gradient_accumulation_steps=2)
    batches = [rollout(trainer, seed=seed) for seed in (1, 2)]
    batches[1]["completion_mask"][:6] = 0  # micro-batches of very unequal numbers of tokens
    for index, inputs in enumerate(batches):
        trainer.accelerator.gradient_state._set_sync_gradients(index == 1)
        loss_and_gradient(trainer, inputs)
    events, tokens, largest, entropy = plain_count(trainer, batches)
    logged = trainer._metrics["train"]
    assert all(count > 0 for count in events)
    for quadrant, count in zip(("q1", "q2", "q3", "q4"), events, strict=True):
        assert logged[f"clip/{quadrant}"] == [pytest.approx(count / tokens)]
        assert logged[f"clip_share/{quadrant}"] == [pytest.approx(count / sum(events))]
    assert logged["ratio/max"] == [pytest.approx(largest, rel=1e-5)]
    assert logged["entropy"] == [pytest.approx(entropy, rel=1e-5)]


def test_events_do_not_depend_on_the_rule_that_is_trained(tmp_path):
    logged = []
    for eps in (0.2, math.inf):
        trainer = abc_trainer(tmp_path, eps_pos_low=eps, eps_neg_high=eps)
        loss_and_gradient(trainer, rollout(trainer))
        logged.append({name: values for name, values in trainer._metrics["train"].items() if name.startswith("clip")})
    assert logged[0] == logged[1]
    assert logged[0]["clip/q2"][0] > 0
    assert logged[0]["clip/q4"][0] > 0


def test_a_step_without_events_logs_no_share(tmp_path):
    trainer = abc_trainer(tmp_path)
    loss_and_gradient(trainer, rollout(trainer, drift=0.0))
    logged = trainer._metrics["train"]
    assert logged["clip/q1"] == [0.0]
    assert "clip_share/q1" not in logged
    assert logged["ratio/max"] == [pytest.approx(1.0)]


def test_logging_interval_keeps_the_largest_ratio(tmp_path):
    trainer = abc_trainer(tmp_path, logging_steps=2)
    trainer._metrics["train"]["ratio/max"] = [1.5, 9.0, 2.0]
    logs = {}
    trainer.model.train()
    trainer.log(logs)
    assert logs["ratio/max"] == 9.0


def test_training_logs_every_metric_of_a_mini_batch(tmp_path):
    trainer = abc_trainer(tmp_path, max_steps=4, steps_per_generation=4, learning_rate=3.0)
    trainer.train()
    lines = [line for line in trainer.state.log_history if "entropy" in line]
    assert len(lines) == 4
    assert lines[0]["ratio/max"] == pytest.approx(1.0, abs=1e-5)  # the first mini-batch after a rollout
    assert lines[3]["ratio/max"] > 1.0
    assert {"clip/q1", "clip/q2", "clip/q3", "clip/q4", "reward", "frac_reward_zero_std"} <= {
        n for line in lines for n in line
    }
    assert not any(name.startswith("clip_ratio") for line in lines for name in line)
