"""What scripts and subclasses written for TRL's trainer do, done to ours."""

import dataclasses
import inspect
import logging

import pytest
import torch
from datasets import Dataset, IterableDataset
from trl import GRPOConfig, GRPOTrainer

from abcgrpo.tasks.countdown import BASE
from abcgrpo.tasks.tokenizer import character_tokenizer
from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer, FastGRPOTrainer
from tests.trl.trainers import abc_trainer, digits, settings, tiny_model
from tests.trl.update.canned import largest_difference, rollouts, train

TRAINERS = (FastGRPOTrainer, ABCGRPOTrainer)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_signature_is_trls(trainer):
    """A new argument of TRL's fails this: it goes into `FastGRPOTrainer.__init__`."""
    ours, theirs = (inspect.signature(kind.__init__).parameters for kind in (trainer, GRPOTrainer))
    assert list(ours) == list(theirs)
    assert [p.kind for p in ours.values()] == [p.kind for p in theirs.values()]
    assert [p.default for p in ours.values()] == [p.default for p in theirs.values()]


def test_the_configurations_fields_are_trls_in_their_order():
    theirs = [field.name for field in dataclasses.fields(GRPOConfig)]
    assert [field.name for field in dataclasses.fields(ABCGRPOConfig)][: len(theirs)] == theirs


def test_arguments_by_position(tmp_path):
    data = Dataset.from_dict({"prompt": ["1,2:3>"] * 8})
    config = ABCGRPOConfig(**settings(tmp_path))
    trainer = ABCGRPOTrainer(tiny_model(), digits, config, data, None, character_tokenizer(BASE.characters))
    assert trainer.train_dataset is data


def test_a_stream_of_prompts_trains_and_saves(tmp_path):
    def rows():
        for number in range(1, 65):
            yield {"prompt": f"{number},{number + 1}:{number + 2}>"}

    trainer = ABCGRPOTrainer(
        model=tiny_model(),
        reward_funcs=digits,
        args=ABCGRPOConfig(**settings(tmp_path, max_steps=2, save_strategy="steps", save_steps=1)),
        train_dataset=IterableDataset.from_generator(rows),
        processing_class=character_tokenizer(BASE.characters),
    )
    trainer.train()
    assert (tmp_path / "checkpoint-2").exists()
    assert "on a stream of prompts" in (tmp_path / "README.md").read_text()


def test_reward_functions_stay_the_ones_that_were_given(tmp_path):
    class Curriculum:
        __name__ = "curriculum"
        level = 1.0

        def __call__(self, completions, **_):
            return [self.level * (index % 2) for index in range(len(completions))]

    reward = Curriculum()
    trainer = abc_trainer(tmp_path, reward=reward, max_steps=1)
    assert trainer.reward_funcs[0](completions=["a", "b"]) == [0.0, 1.0]
    trainer.reward_funcs[0].level = 5.0
    trainer.train()
    assert trainer.state.log_history[0]["reward"] == pytest.approx(2.5)
    assert trainer.reward_funcs == [reward]


@pytest.mark.parametrize("kind", ["generator", "map"])
def test_rewards_as_an_iterator(tmp_path, kind):
    def lazy(completions, **_):
        numbers = digits(completions)
        return (value for value in numbers) if kind == "generator" else map(float, numbers)

    trainer = abc_trainer(tmp_path, reward=lazy, max_steps=1)
    trainer.train()
    assert trainer.state.log_history[0]["rewards/failed_rows"] == 0.0


@pytest.mark.parametrize("update", ["fast", "stock"])
def test_a_loss_of_ones_own_that_asks_for_no_entropies(tmp_path, update, caplog):
    def own(kind):
        class Own(kind):
            def _compute_loss(self, model, inputs):
                ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
                mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
                old = inputs["old_per_token_logps"]  # before the pass
                logps, _, _ = self._get_per_token_logps_and_entropies(model, ids, mask, old.size(1))
                token = (logps - old).exp() * inputs["advantages"][:, None] * inputs["completion_mask"]
                return -token.sum() / 100

        return Own

    canned = rollouts(2, 8, seed=3)
    stock = train(own(GRPOTrainer), canned, folder=str(tmp_path))
    config = {"config_class": ABCGRPOConfig, "loss_type": "grpo", "update": update}
    ours = train(own(FastGRPOTrainer), canned, folder=str(tmp_path), **config)
    assert largest_difference(ours.gradients, stock.gradients) < 2e-5
    assert "clip/q1" in ours.logs[0]
    assert "entropy" not in ours.logs[0]


def test_a_loss_that_runs_the_policy_by_itself_is_not_measured_and_says_so(tmp_path, caplog):
    class Alone(FastGRPOTrainer):
        def _compute_loss(self, model, inputs):
            return model(input_ids=inputs["prompt_ids"]).logits.float().square().mean()

    with caplog.at_level(logging.WARNING, "abcgrpo"):
        trained = train(Alone, rollouts(1, 8), folder=str(tmp_path), max_steps=2)
    assert "clip/q1" not in trained.logs[0]
    assert caplog.text.count("runs the policy by itself") == 1


def with_names(kind):
    class WithNames(kind):
        def _generate_and_score_completions(self, inputs):
            output = super()._generate_and_score_completions(inputs)
            return output | {"names": [str(ids.tolist()) for ids in output["completion_ids"]]}

        def _compute_loss(self, model, inputs):
            for name, ids, mask in zip(
                inputs["names"], inputs["completion_ids"], inputs["completion_mask"], strict=True
            ):
                assert name.strip("[]").startswith(str(ids[mask.bool()].tolist()).strip("[]"))
            return super()._compute_loss(model, inputs)

    return WithNames


def test_texts_in_the_batch_follow_their_rows(tmp_path):
    canned = rollouts(2, 8, seed=3)
    stock, ours = (train(with_names(kind), canned, folder=str(tmp_path)) for kind in (GRPOTrainer, FastGRPOTrainer))
    assert ours.trainer.update_parts.move
    assert largest_difference(ours.gradients, stock.gradients) < 2e-5


def test_an_empty_prompt_takes_trls_own_path(tmp_path, caplog):
    canned = rollouts(2, 8, seed=3)
    for row in canned[0][4:8]:
        row.prompt = []
    stock = train(GRPOTrainer, canned, folder=str(tmp_path), max_steps=8)
    with caplog.at_level(logging.WARNING, "abcgrpo"):
        ours = train(FastGRPOTrainer, canned, folder=str(tmp_path), max_steps=8)
    assert largest_difference(ours.gradients, stock.gradients) < 2e-5
    assert "an empty prompt" in caplog.text
    active = [line.get("update/active_rows") for line in ours.logs]
    assert active[:4] == [None] * 4  # the rollout with empty prompts
    assert all(share is not None for share in active[4:])  # the next one
