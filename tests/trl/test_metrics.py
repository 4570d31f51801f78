"""What is logged per optimizer step, against a plain count over all of the step's tokens."""

import math

import pytest
import torch

from abcgrpo.trl.batch import loss_mask
from tests.trl.trainers import abc_trainer, loss_and_gradient, rollout


def plain_count(trainer, batches):
    """Clip events, largest ratio and entropy, token by token in Python."""
    events, inside, tokens, largest, entropy = [0, 0, 0, 0], [0, 0, 0, 0], 0, 0.0, 0.0
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
            quadrant = (0 if ratio > 1 else 1) if advantage > 0 else (3 if ratio > 1 else 2)
            events[quadrant] += abs(ratio - 1) > 0.2
            inside[quadrant] += abs(ratio - 1) > 1e-3
    return events, inside, tokens, largest, entropy / tokens


def test_one_value_per_step_weighted_by_tokens(tmp_path):
    trainer = abc_trainer(tmp_path, gradient_accumulation_steps=2)
    batches = [rollout(trainer, seed=seed) for seed in (1, 2)]
    batches[1]["completion_mask"][:6] = 0  # micro-batches of very unequal numbers of tokens
    for index, inputs in enumerate(batches):
        trainer.accelerator.gradient_state._set_sync_gradients(index == 1)
        loss_and_gradient(trainer, inputs)
    events, inside, tokens, largest, entropy = plain_count(trainer, batches)
    logged = trainer._metrics["train"]
    assert all(count > 0 for count in events)
    assert [logged[f"quadrant/q{k}"] for k in (1, 2, 3, 4)] == [[pytest.approx(count / tokens)] for count in inside]
    for quadrant, count in zip(("q1", "q2", "q3", "q4"), events, strict=True):
        assert logged[f"clip/{quadrant}"] == [pytest.approx(count / tokens)]
        assert logged[f"clip_share/{quadrant}"] == [pytest.approx(count / sum(events))]
    assert logged["ratio/max"] == [pytest.approx(largest, rel=1e-5)]
    assert logged["entropy"] == [pytest.approx(entropy, rel=1e-5)]


def over_punishment(trainer, batches, rewards):
    """Tokens that another response of the group shares, and the share of Q3 and Q4 events on prefixes no worse than it:
    every response against every other of its group of four, token by token."""
    tokens = shared = punished = undeserved = 0
    for inputs, worth in zip(batches, rewards, strict=True):
        with torch.no_grad():
            logprobs, _, _ = trainer._get_per_token_logps_and_entropies(
                trainer.model,
                torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1),
                torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1),
                inputs["completion_ids"].size(1),
            )
        ratios = (logprobs - inputs["old_per_token_logps"]).exp()
        lengths = inputs["completion_mask"].sum(1).tolist()
        texts = [row[:length].tolist() for row, length in zip(inputs["completion_ids"], lengths, strict=True)]
        for row, text in enumerate(texts):
            group = range(row // 4 * 4, row // 4 * 4 + 4)
            mean = sum(worth[i] for i in group) / 4
            for t in range(len(text)):
                sharing = [i for i in group if texts[i][: t + 1] == text[: t + 1]]
                tokens += 1
                shared += len(sharing) > 1
                if worth[row] < mean and abs(ratios[row, t].item() - 1) > 0.2:
                    punished += 1
                    undeserved += sum(worth[i] for i in sharing) / len(sharing) >= mean
    return shared / tokens, undeserved / punished, undeserved


def test_over_punishment_is_a_loop_by_hand_over_the_steps_tokens(tmp_path):
    trainer = abc_trainer(tmp_path, gradient_accumulation_steps=2)
    trainer.model.train()
    batches = [rollout(trainer, seed=seed) for seed in (1, 2)]
    rewards = [[1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0], [0.5, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]]
    for inputs, worth in zip(batches, rewards, strict=True):
        inputs["completion_ids"][:, :4] = torch.tensor([5, 6, 7, 8])  # responses begin alike, and part one by one
        inputs["completion_ids"][2::4, 2] = 9
        inputs["completion_ids"][3::4, 1] = 9
        column = torch.tensor(worth)
        inputs["advantages"] = (column.view(2, 4) - column.view(2, 4).mean(1, keepdim=True)).flatten()
        trainer.advantages.rewards_given(column[:, None])
        trainer.advantages.rollout_scored(inputs)
    for index, inputs in enumerate(batches):
        trainer.accelerator.gradient_state._set_sync_gradients(index == 1)
        loss_and_gradient(trainer, inputs)
    shared, share, undeserved = over_punishment(trainer, batches, rewards)
    assert undeserved > 0
    assert 0 < share < 1
    assert trainer._metrics["train"]["prefix/shared"] == [pytest.approx(shared)]
    assert trainer._metrics["train"]["prefix/over_punished"] == [pytest.approx(share)]


def test_without_an_event_of_q3_or_q4_no_over_punishment_is_logged(tmp_path):
    trainer = abc_trainer(tmp_path, max_steps=1)
    trainer.train()
    assert "prefix/shared" in trainer.state.log_history[0]
    assert "prefix/over_punished" not in trainer.state.log_history[0]


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
