"""Estimators in the place of TRL's advantages: named, given whole groups, per response or per token."""

from dataclasses import dataclass

import pytest
import torch

from abcgrpo.advantages import Estimator, Groups, resolve_estimator
from tests.trl.test_identities import weights_after_training
from tests.trl.test_rewards import BAD, VALUES, Fails, scored
from tests.trl.trainers import abc_trainer, host_trainer, tiny_model

SEEN: list[Groups] = []


@dataclass(frozen=True)
class FadesOut(Estimator):
    """Eq. 3, less and less from token to token."""

    rate: float = 0.5

    def __call__(self, groups):
        SEEN.append(groups)
        grouped = groups.rewards.view(-1, groups.group_size)
        centred = (grouped - grouped.nanmean(1, keepdim=True)).flatten()
        return centred[:, None] * self.rate ** torch.arange(groups.mask.size(1))


@pytest.mark.parametrize("scale", ["none", "group", "batch"])
def test_group_is_trls_own_computation(tmp_path, scale):
    options = {"steps_per_generation": 3, "loss_type": "grpo"}
    initial = torch.cat([p.detach().flatten() for p in tiny_model().parameters()])
    theirs, _ = weights_after_training(abc_trainer, tmp_path / "a", scale_rewards=scale, **options)
    named = {"name": "group", "scale": scale}
    ours, _ = weights_after_training(abc_trainer, tmp_path / "b", advantages=named, **options)
    assert (ours - theirs).norm() <= 1e-5 * (theirs - initial).norm()


def test_another_scale_is_another_run(tmp_path):
    """The negative control."""
    options = {"steps_per_generation": 3, "loss_type": "grpo"}
    theirs, _ = weights_after_training(host_trainer, tmp_path / "a", **options)
    ours, _ = weights_after_training(abc_trainer, tmp_path / "b", advantages="group", rule="grpo", **options)
    assert (ours - theirs).norm() > 1e-3


def test_whole_groups_in_and_advantages_per_token_out(tmp_path):
    SEEN.clear()
    trainer, output = scored(tmp_path, Fails(None), advantages=FadesOut(), scale_rewards="group", log_completions=True)
    (groups,) = SEEN
    assert groups.group_size == 4
    assert groups.rewards[:BAD].tolist() == VALUES[:BAD]
    assert groups.rewards[BAD].isnan()
    assert torch.equal(groups.completion_ids, output["completion_ids"])
    assert torch.equal(groups.mask, output["completion_mask"].bool())
    centred = torch.tensor([2 / 3, -1 / 3, -1 / 3, 0.0, 1.75, -0.25, -0.25, -1.25])
    expected = centred[:, None] * 0.5 ** torch.arange(groups.mask.size(1)) * groups.mask
    assert torch.allclose(output["advantages"], expected, atol=1e-6)
    shown = (expected.sum(1) / groups.mask.sum(1).clamp(min=1)).tolist()
    assert list(trainer._logs["advantages"]) == pytest.approx(shown, abs=1e-6)


def test_rewards_are_weighed_before(tmp_path):
    def other(completions, number, **_):
        return [float(row) for row in number]

    SEEN.clear()
    scored(
        tmp_path, [Fails(VALUES[BAD]), other], advantages=FadesOut(), reward_weights=[1.0, 0.5], scale_rewards="group"
    )
    assert SEEN[0].rewards.tolist() == [value + 0.5 * row for row, value in enumerate(VALUES)]


def test_tokens_of_advantage_0_cost_nothing_and_others_do(tmp_path):
    trainer = abc_trainer(tmp_path, max_steps=3, steps_per_generation=3, advantages=FadesOut(), loss_type="grpo")
    trainer.train()
    assert all(line["update/active_rows"] > 0 for line in trainer.state.log_history if "update/active_rows" in line)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(lambda g: g.rewards[:-1], "are \\(7,\\)"), (lambda g: g.rewards / 0.0, "not all finite")],
)
def test_what_cannot_be_an_advantage_is_refused(tmp_path, wrong, message):
    @dataclass(frozen=True)
    class Wrong(Estimator):
        def __call__(self, groups):
            return wrong(groups)

    with pytest.raises(ValueError, match=message):
        scored(tmp_path, Fails(VALUES[BAD]), advantages=Wrong(), scale_rewards="group")


def test_the_tree_of_a_rollout_gives_tokens_advantages(tmp_path):
    trainer, output = scored(tmp_path, Fails(None), advantages="prefix_tree", scale_rewards="group")
    rewards = torch.tensor([*VALUES[:BAD], torch.nan, *VALUES[BAD + 1 :]])
    mask = output["completion_mask"].bool()
    expected = resolve_estimator("prefix_tree")(Groups(rewards, 4, output["completion_ids"], mask))
    assert torch.allclose(output["advantages"], torch.where(mask, expected, 0.0))
    assert "old_per_token_logps" not in output or not trainer.fast_update.parts.defer


def test_what_an_estimator_needs_comes_from_the_pass_for_old_logprobs(tmp_path):
    trainer, output = scored(
        tmp_path, Fails(None), advantages="optimal_token_baseline", scale_rewards="group", temperature=0.7
    )
    ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
    length = output["completion_ids"].size(1)
    table = torch.zeros(len(ids), length, trainer.model.config.vocab_size)
    for row, (prompt, completion) in enumerate(zip(output["prompt_mask"], output["completion_mask"], strict=True)):
        text = ids[row][torch.cat([prompt, completion]).bool()]  # without padding, a row at a time
        with torch.no_grad():
            logits = trainer.model(input_ids=text[None]).logits[0] / 0.7
        written = int(completion.sum())
        table[row, :written] = logits[-written - 1 : -1].log_softmax(-1)
    mask = output["completion_mask"].bool()
    logprobs = table.gather(-1, output["completion_ids"][..., None]).squeeze(-1)
    torch.testing.assert_close(output["old_per_token_logps"][mask], logprobs[mask], rtol=0, atol=1e-5)
    rewards = torch.tensor([*VALUES[:BAD], torch.nan, *VALUES[BAD + 1 :]])
    squares = table.exp().square().sum(-1)
    groups = Groups(rewards, 4, output["completion_ids"], mask, logprobs=logprobs, squared_probabilities=squares)
    expected = resolve_estimator("optimal_token_baseline")(groups)
    torch.testing.assert_close(output["advantages"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["prefix_tree", "prefix_share", "optimal_token_baseline", "entropy_weighted"])
def test_every_estimator_trains(tmp_path, name):
    options = {"max_steps": 3, "steps_per_generation": 3, "loss_type": "grpo"}
    trainer = abc_trainer(tmp_path / name, advantages=name, **options)
    before = torch.cat([p.detach().flatten().clone() for p in trainer.model.parameters()])
    trainer.train()
    after = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
    assert after.isfinite().all()
    assert (after - before).norm() > 0
