"""A reward that fails costs the row that it is of: no gradient there, and the others' advantages as by hand."""

import logging
import math

import pytest
import torch
from trl import GRPOTrainer

from abcgrpo.errors import UserError
from tests.trl.trainers import abc_trainer

VALUES = [1.0, 0.0, 0.0, 2.0, 3.0, 1.0, 1.0, 0.0]
"""Two groups of four."""
BAD = 3
"""In the first group: the others' mean is 1/3, that of all four 3/4."""


class Fails:
    """Gives VALUES, and fails at one row in one of several ways."""

    __name__ = "fails"

    def __init__(self, how):
        self.how = how
        self.calls = []

    def __call__(self, prompts, completions, number, **_):
        self.calls.append(len(prompts))
        return [self.value(row) for row in number]

    def value(self, row):
        if row != BAD:
            return VALUES[row]
        if isinstance(self.how, Exception):
            raise self.how
        return self.how


def scored(tmp_path, reward, **options):
    """A rollout of VALUES' rows through the host's generation, by a trainer with these rewards."""
    options = {"scale_rewards": "none", "max_failed_rewards": 0.5} | options
    trainer = abc_trainer(tmp_path, reward=reward, **options)
    trainer.model.train()
    inputs = [{"prompt": f"{1 + row // 4},2:3>", "number": row} for row in range(8)]
    return trainer, trainer._generate_and_score_completions(inputs)


WAYS = {
    "raises": RuntimeError("the judge is out"),
    "None": None,
    "NaN": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "more than float32 holds": 1e39,
    "text": "0.5 points",
}


@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS)
def test_one_row_is_lost_and_its_group_is_the_others(tmp_path, caplog, how):
    reward = Fails(how)
    with caplog.at_level(logging.WARNING):
        trainer, output = scored(tmp_path, reward)
    expected = [2 / 3, -1 / 3, -1 / 3, 0.0, 1.75, -0.25, -0.25, -1.25]
    assert output["advantages"].tolist() == pytest.approx(expected)
    assert output["completion_mask"][BAD].sum() == 0
    assert all(output["completion_mask"][row].sum() > 0 for row in range(8) if row != BAD)
    assert trainer._metrics["train"]["rewards/failed_rows"] == [1.0]
    assert trainer._metrics["train"]["reward"] == [pytest.approx(6 / 7)]  # 1, 0, 0, 3, 1, 1, 0
    assert "1 of 8 rewards failed" in caplog.text
    assert reward.calls == ([8, *[1] * 8] if isinstance(how, Exception) else [8])


def test_the_host_alone_loses_more(tmp_path):
    """What this is for: an exception ends TRL's run, and inf spoils the whole group's advantages."""
    trainer, _ = scored(tmp_path, Fails(VALUES[BAD]))
    rewards = torch.tensor(VALUES)
    rewards[BAD] = torch.inf
    trainer._calculate_rewards = lambda *_: rewards[:, None]
    output = GRPOTrainer._generate_and_score_completions(
        trainer, [{"prompt": f"{1 + row // 4},2:3>", "number": row} for row in range(8)]
    )
    assert output["advantages"][:3].abs().min() > 1e38


def test_without_a_failure_nothing_is_masked(tmp_path):
    trainer, output = scored(tmp_path, Fails(VALUES[BAD]))
    assert output["advantages"].tolist() == pytest.approx([0.25, -0.75, -0.75, 1.25, 1.75, -0.25, -0.25, -1.25])
    assert output["completion_mask"].sum(1).min() > 0
    assert trainer._metrics["train"]["rewards/failed_rows"] == [0.0]


def test_a_row_of_several_rewards_is_left_out_whole(tmp_path):
    """The sum of what is left of its rewards would be compared with sums of all."""

    def other(completions, **_):
        return [10.0] * len(completions)

    trainer, output = scored(tmp_path, [Fails(math.nan), other])
    assert output["advantages"].tolist() == pytest.approx([2 / 3, -1 / 3, -1 / 3, 0.0, 1.75, -0.25, -0.25, -1.25])
    assert trainer._metrics["train"]["rewards/other/mean"] == [10.0]


def test_none_of_one_reward_means_that_another_decides(tmp_path):
    def other(completions, number, **_):
        return [5.0 if row == BAD else 0.0 for row in number]

    trainer, output = scored(tmp_path, [Fails(None), other])
    assert output["advantages"][:4].tolist() == pytest.approx([-0.5, -1.5, -1.5, 3.5])
    assert trainer._metrics["train"]["rewards/failed_rows"] == [0.0]


def test_a_coroutine_fails_as_a_function_does(tmp_path):
    async def judged(completions, number, **_):
        if BAD in number:
            raise TimeoutError("no answer")
        return [VALUES[row] for row in number]

    _, output = scored(tmp_path, judged)
    assert output["advantages"].tolist() == pytest.approx([2 / 3, -1 / 3, -1 / 3, 0.0, 1.75, -0.25, -0.25, -1.25])


def test_the_lost_row_has_no_gradient_under_a_kl_term_either(tmp_path):
    """Only its mask can tell: the divergence pulls whatever the advantage."""
    trainer, output = scored(tmp_path, Fails(math.nan))
    trainer.beta = 0.5
    batch = {name: value for name, value in output.items() if value is not None}
    length = batch["completion_ids"].size(1)
    logprobs = torch.zeros(8, length, requires_grad=True)
    batch["old_per_token_logps"] = torch.zeros(8, length)
    batch["ref_per_token_logps"] = torch.full((8, length), -0.5)
    trainer.current_gradient_accumulation_steps = 1
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (logprobs, torch.zeros(8, length), None)
    trainer._compute_loss(trainer.model, batch).backward()
    assert logprobs.grad is not None
    assert logprobs.grad[BAD].abs().sum() == 0
    assert all(logprobs.grad[row].abs().sum() > 0 for row in range(8) if row != BAD)


def test_too_many_failures_stop_the_run_with_the_first_traceback(tmp_path):
    def broken(completions, number, **_):
        raise KeyError(f"column {number[0]}")

    with pytest.raises(UserError, match="More than 4 rewards of a rollout failed") as stopped:
        scored(tmp_path, broken)
    assert "KeyError: 'column 0'" in str(stopped.value)
    assert "in broken" in str(stopped.value)
    with pytest.raises(UserError, match="5 of 8"):
        scored(tmp_path, lambda completions, number, **_: [None if row < 5 else 0.0 for row in number])


@pytest.mark.parametrize("values", [[1.0], [1.0] * 9, None, 1.0])
def test_a_wrong_number_of_values_is_fatal(tmp_path, values):
    def short(completions, **_):
        return values

    with pytest.raises(ValueError, match="but 8 were expected"):
        scored(tmp_path, short)


def test_what_a_failed_call_logged_is_not_counted_twice(tmp_path):
    def logging_reward(completions, number, log_extra, log_metric, **_):
        log_extra("number", list(number))
        log_metric("rows", float(len(number)))
        if number[-1] == 7 and len(number) > 1:
            raise ValueError("too many at once")
        if number == [BAD]:
            raise ValueError("this one")
        return [VALUES[row] for row in number]

    trainer, _ = scored(tmp_path, logging_reward)
    assert list(trainer._logs["extra"]["number"]) == [0, 1, 2, None, 4, 5, 6, 7]
    assert trainer._metrics["train"]["rows"] == [1.0]


def test_a_run_survives_a_reward_that_fails_now_and_then(tmp_path):
    calls = []

    def flaky(completions, **_):
        calls.append(len(completions))
        if len(calls) % 3 == 0:
            raise OSError("connection reset")
        return [float(len(completion) % 3) for completion in completions]

    trainer = abc_trainer(tmp_path, reward=flaky, max_steps=4)
    trainer.train()
    lines = [line for line in trainer.state.log_history if "rewards/failed_rows" in line]
    assert len(lines) == 4
    assert 0 < sum(line["rewards/failed_rows"] for line in lines) <= 6
    assert all(math.isfinite(line["grad_norm"]) for line in lines)
