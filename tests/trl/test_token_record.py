"""What a run records of its tokens: against the log-probs and advantages themselves, and after a kill."""

import json

import pytest
import torch

from abcgrpo.files import read_json_lines
from abcgrpo.run_files import TOKENS
from abcgrpo.tasks.countdown import BASE
from abcgrpo.tasks.tokenizer import character_tokenizer
from abcgrpo.trl.component import Component
from abcgrpo.trl.token_record import pieces
from tests.trl.trainers import abc_trainer, tiny_model

RUN = {"max_steps": 6, "per_device_train_batch_size": 8, "steps_per_generation": 2, "gradient_accumulation_steps": 1}
COLUMNS = ("own", "advantages", "ratios", "events", "clipped", "prefix_gain")


class Seen(Component):
    """The micro-batches of each step, and the policy's log-probs of their tokens."""

    name = "seen"

    def __init__(self, trainer):
        super().__init__(trainer)
        self.steps = {}

    def loss_computed(self, passed, metrics):
        step = self.steps.setdefault(self.trainer.state.global_step + 1, [])
        step.append(({k: v.clone() for k, v in passed.batch.items() if hasattr(v, "clone")}, passed.logprobs.clone()))


def lines_of(folder):
    return list(read_json_lines(folder / TOKENS))


def watched(folder, **options):
    trainer = abc_trainer(folder, **(RUN | options))
    trainer.components.append(seen := Seen(trainer))
    trainer.train()
    return seen


def rows_by_hand(micro_batches):
    """Every response with an advantage, token by token, as a line has it but for its text."""
    for batch, logprobs in micro_batches:
        old = batch.get("old_per_token_logps", logprobs)
        for row in range(len(logprobs)):
            length = int(batch["completion_mask"][row].sum())
            ratios = (logprobs[row, :length] - old[row, :length]).exp().tolist()
            advantages = batch["advantages"][row].expand(logprobs.size(1))[:length].tolist()
            events = []
            for ratio, advantage in zip(ratios, advantages, strict=True):
                quadrant = (1 if ratio > 1 else 2) if advantage > 0 else (3 if ratio < 1 else 4)
                events.append(quadrant if advantage != 0 and abs(ratio - 1) > 0.2 else 0)
            if any(advantages):
                yield batch["completion_ids"][row, :length].tolist(), batch["rewards"][row], advantages, ratios, events


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}])
def test_a_line_holds_what_the_loss_saw(tmp_path, options):
    options = options | ({"steps_per_generation": 4} if options else {})
    seen = watched(tmp_path, rule="grpo", advantages="prefix_tree", record_tokens=3, **options)
    lines, tokenizer, some = lines_of(tmp_path), character_tokenizer(BASE.characters), 0
    assert {line["step"] for line in lines} <= set(seen.steps)
    for step, micro_batches in seen.steps.items():
        rows = sorted(rows_by_hand(micro_batches), key=lambda row: -sum(event > 0 for event in row[4]))
        recorded = [line for line in lines if line["step"] == step]
        assert len(recorded) == min(3, len(rows))
        for line, (ids, reward, advantages, ratios, events) in zip(recorded, rows, strict=False):
            assert {len(line[name]) for name in COLUMNS} == {len(ids)} == {len(line["tokens"])}
            assert "".join(line["tokens"]) == tokenizer.decode(ids)
            assert line["reward"] == pytest.approx(float(reward))
            assert line["advantages"] == pytest.approx(advantages, rel=1e-4, abs=1e-6)
            assert line["ratios"] == pytest.approx(ratios, rel=1e-4)
            assert line["events"] == events
            assert line["clipped"] == [int(event in (1, 3)) for event in events]  # GRPO leaves Q2 and Q4 open
            some += sum(event > 0 for event in events)
    assert some > 0


def test_the_gain_of_a_prefix_is_its_mean_reward_less_the_groups(tmp_path):
    seen = watched(tmp_path, record_tokens=8)
    parts = [seen.steps[step][0][0] for step in (1, 2)]  # of one rollout
    batch = {name: torch.cat([part[name] for part in parts]) for name in parts[0] if parts[0][name].dim()}
    lengths = batch["completion_mask"].sum(1).tolist()
    texts = [row[:length].tolist() for row, length in zip(batch["completion_ids"], lengths, strict=True)]
    prompts = [tuple(row.tolist()) for row in batch["prompt_ids"]]
    rewards = batch["rewards"].tolist()
    shared = 0
    for row, text in enumerate(texts):
        group = [i for i, prompt in enumerate(prompts) if prompt == prompts[row]]
        assert len(group) == 4
        root = sum(rewards[i] for i in group) / 4
        for t in range(len(text)):
            same = [i for i in group if texts[i][: t + 1] == text[: t + 1]]
            gain = sum(rewards[i] for i in same) / len(same) - root
            assert batch["prefix_gain"][row, t].item() == pytest.approx(gain, abs=1e-6)
            assert batch["prefix_leaves"][row, t].item() == len(same)
            shared += len(same) > 1
    assert shared > 0


def test_a_run_that_goes_on_has_each_line_once(tmp_path):
    options = {"save_strategy": "steps", "save_steps": 1}
    abc_trainer(tmp_path / "whole", **RUN).train()
    abc_trainer(tmp_path / "cut", **RUN, **options).train()
    whole = (tmp_path / "whole" / TOKENS).read_text()
    assert (tmp_path / "cut" / TOKENS).read_text() == whole
    assert whole.count("\n") > 8
    # What a kill leaves after step 3 was saved: lines of step 4, and a piece of one.
    kept = [line for line in whole.splitlines(keepends=True) if json.loads(line)["step"] <= 4]
    (tmp_path / "cut" / TOKENS).write_text("".join(kept) + whole.splitlines()[-1][:40])
    abc_trainer(tmp_path / "cut", **RUN, **options).train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-3"))
    assert (tmp_path / "cut" / TOKENS).read_text() == whole
    abc_trainer(tmp_path / "cut", **RUN).train()  # a run from the beginning
    assert (tmp_path / "cut" / TOKENS).read_text() == whole


def test_only_logged_steps_are_recorded_and_0_switches_it_off(tmp_path):
    abc_trainer(tmp_path / "every third", **RUN, logging_steps=3).train()
    assert {line["step"] for line in lines_of(tmp_path / "every third")} == {3, 6}
    trainer = abc_trainer(tmp_path / "off", **RUN, record_tokens=0)
    trainer.train()
    assert not (tmp_path / "off" / TOKENS).exists()
    with pytest.raises(ValueError, match="record_tokens is a number of responses"):
        abc_trainer(tmp_path, record_tokens=-1)


def test_recording_changes_no_weight(tmp_path):
    weights = []
    for responses in (0, 8):
        trainer = abc_trainer(tmp_path / str(responses), tiny_model(), **RUN, record_tokens=responses)
        trainer.train()
        weights.append(torch.cat([p.detach().flatten() for p in trainer.model.parameters()]))
    assert torch.equal(*weights)


def test_pieces_join_to_the_text_across_characters():
    """A tokenizer of bytes: a letter with an accent is two tokens, of which the second one completes it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    ids = fast("né en 1")["input_ids"]
    assert pieces(fast, ids) == ["n", "", "é", " ", "e", "n", " ", "1"]
