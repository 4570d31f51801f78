"""The policy loss in verl's hands: against a formula of its own, and against verl's `vanilla`."""

import math
import subprocess
import sys

import pytest
import torch

pytest.importorskip("verl", reason="verl has an environment of its own: make test-verl")

from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY, get_policy_loss_fn
from verl.workers.config import PolicyLossConfig

from abcgrpo import Boundaries
from abcgrpo.verl import LOSS_NAME, abc_grpo, register
from tests.verl.batches import TokenBatch, actor, thresholds, token_batch

MODES = ("token-mean", "token-sum", "seq-mean-token-sum", "seq-mean-token-sum-norm", "seq-mean-token-mean")
WHOLE_BATCH = {"dp_size": 2, "batch_num_tokens": 300, "global_batch_size": 32, "loss_scale_factor": 512}
DIFFERENT_BOUNDS = Boundaries(eps_pos_high=0.28, eps_pos_low=0.5, eps_neg_high=2.0, eps_neg_low=0.2)


def through_verl(batch: TokenBatch, config, loss_mode: str, agg_mode: str, weights=None):
    """Loss, gradient and metrics, by verl's own dispatch and its keywords."""
    log_prob = batch.log_prob.clone().requires_grad_()
    loss, metrics = get_policy_loss_fn(loss_mode)(
        old_log_prob=batch.old_log_prob,
        log_prob=log_prob,
        advantages=batch.advantages,
        response_mask=batch.response_mask,
        loss_agg_mode=agg_mode,
        config=config,
        rollout_is_weights=weights,
    )
    (gradient,) = torch.autograd.grad(loss, log_prob)
    return loss.detach(), gradient, metrics


def by_loops(batch: TokenBatch, bounds: Boundaries, agg_mode: str, info: dict, weights=None):
    """Loss and gradient written out token by token in Python's floats: the reference."""
    rows, columns = batch.log_prob.shape
    counts = [int(row.sum()) for row in batch.response_mask]
    tokens, responses = (
        info.get("batch_num_tokens", sum(counts)),
        info.get("global_batch_size", sum(count > 0 for count in counts)),
    )
    scale = info.get("loss_scale_factor", columns)
    loss, gradient = 0.0, torch.zeros(rows, columns, dtype=torch.float64)
    for i in range(rows):
        share = (
            info.get("dp_size", 1)
            * {
                "token-mean": 1 / tokens,
                "token-sum": 1.0,
                "seq-mean-token-sum": 1 / responses,
                "seq-mean-token-sum-norm": 1 / responses / scale,
                "seq-mean-token-mean": 1 / responses / max(counts[i], 1),
            }[agg_mode]
        )
        for t in range(counts[i]):
            advantage = float(batch.advantages[i, t])
            ratio = math.exp(float(batch.log_prob[i, t]) - float(batch.old_log_prob[i, t]))
            low, high = (
                (1 - bounds.eps_pos_low, 1 + bounds.eps_pos_high)
                if advantage > 0
                else (1 - bounds.eps_neg_low, 1 + bounds.eps_neg_high)
            )
            weight = share * (1.0 if weights is None else float(weights[i, t]))
            loss -= weight * min(max(ratio, low), high) * advantage
            gradient[i, t] = -weight * ratio * advantage if low <= ratio <= high else 0.0
    return torch.tensor(loss, dtype=torch.float32), gradient.float()


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "importance-weights"])
@pytest.mark.parametrize("info", [{}, WHOLE_BATCH], ids=["own-batch", "part-of-a-global-batch"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bounds", [Boundaries(), DIFFERENT_BOUNDS, Boundaries.grpo()], ids=["paper", "four", "grpo"])
def test_every_reduction_gives_the_value_and_gradient_of_a_token_by_token_calculation(bounds, mode, info, weighted):
    batch = token_batch(seed=1)
    weights = batch.rollout_is_weights if weighted else None
    loss, gradient, _ = through_verl(batch, actor(thresholds(bounds), info), LOSS_NAME, mode, weights)
    expected_loss, expected_gradient = by_loops(batch, bounds, mode, info, weights)
    assert expected_gradient.count_nonzero() > 10
    torch.testing.assert_close(loss, expected_loss, rtol=2e-5, atol=1e-6)
    torch.testing.assert_close(gradient, expected_gradient, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("c", [1e9, 3.0, 1.5], ids=["no-dual-clip", "dual-clip-3", "dual-clip-1.5"])
def test_two_opened_bounds_give_vanilla(c, mode, seed):
    batch = token_batch(seed)
    clip = {"clip_ratio": 0.2, "clip_ratio_low": 0.2, "clip_ratio_high": 0.28, "clip_ratio_c": c}
    vanilla = through_verl(batch, actor(PolicyLossConfig(), **clip), "vanilla", mode, batch.rollout_is_weights)
    bounds = Boundaries(eps_pos_high=0.28, eps_pos_low=math.inf, eps_neg_high=c - 1, eps_neg_low=0.2)
    ours = through_verl(batch, actor(thresholds(bounds)), LOSS_NAME, mode, batch.rollout_is_weights)
    torch.testing.assert_close(ours[0], vanilla[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours[1], vanilla[1], rtol=1e-5, atol=1e-6)
    # verl counts the tokens of the dual clip apart.
    clipped = vanilla[2]["actor/pg_clipfrac"] + vanilla[2]["actor/pg_clipfrac_lower"]
    assert ours[2]["actor/pg_clipfrac"] == pytest.approx(clipped, abs=1e-6)
    assert ours[2]["actor/ppo_kl"] == pytest.approx(vanilla[2]["actor/ppo_kl"], abs=1e-5)


@pytest.mark.parametrize("closed", ["eps_pos_low", "eps_neg_high"])
def test_a_closed_bound_is_not_vanilla(closed):
    batch = token_batch(seed=0)
    vanilla = through_verl(batch, actor(PolicyLossConfig(), clip_ratio_c=1e9), "vanilla", "token-mean")
    bounds = Boundaries(**{**Boundaries.grpo().__dict__, closed: 0.2})
    ours = through_verl(batch, actor(thresholds(bounds)), LOSS_NAME, "token-mean")
    assert not torch.allclose(ours[0], vanilla[0], rtol=1e-3)
    assert not torch.allclose(ours[1], vanilla[1], rtol=1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_micro_batches_add_up_to_the_batch(mode):
    batch = token_batch(seed=2)
    tokens, responses = int(batch.response_mask.sum()), len(batch.log_prob)
    info = {"dp_size": 1, "batch_num_tokens": tokens, "global_batch_size": responses, "loss_scale_factor": 17}
    config = actor(thresholds(DIFFERENT_BOUNDS), info)
    whole_loss, whole_gradient, _ = through_verl(batch, config, LOSS_NAME, mode)
    parts = [
        through_verl(TokenBatch(*(tensor[cut] for tensor in batch)), config, LOSS_NAME, mode)
        for cut in (slice(0, 5), slice(5, 6), slice(6, 12))
    ]
    torch.testing.assert_close(sum(part[0] for part in parts), whole_loss)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), whole_gradient)


def test_padding_may_hold_anything():
    batch = token_batch(seed=3)
    config = actor(thresholds(Boundaries.grpo()))
    clean = through_verl(batch, config, LOSS_NAME, "seq-mean-token-mean")
    padding = ~batch.response_mask
    dirty = batch._replace(
        log_prob=batch.log_prob.masked_fill(padding, math.nan),
        old_log_prob=batch.old_log_prob.masked_fill(padding, -math.inf),
        advantages=batch.advantages.masked_fill(padding, math.nan),
    )
    loss, gradient, metrics = through_verl(dirty, config, LOSS_NAME, "seq-mean-token-mean")
    assert loss == clean[0]
    assert torch.equal(gradient, clean[1])
    assert metrics == clean[2]


def test_quadrants_are_counted_at_their_own_thresholds():
    ratio = torch.tensor([[1.5, 0.5, 1.0, 1.5], [1.5, 0.5, 0.5, 0.5], [3.0, 3.0, 9.0, 9.0]])
    batch = TokenBatch(
        old_log_prob=torch.zeros(3, 4),
        log_prob=ratio.log(),
        advantages=torch.tensor([[1.0], [-1.0], [0.0]]).expand(3, 4),
        response_mask=torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 0]], dtype=torch.bool),
        rollout_is_weights=torch.ones(3, 4),
    )
    _, _, metrics = through_verl(batch, actor(thresholds(Boundaries.grpo())), LOSS_NAME, "token-mean")
    log_ratios = [math.log(value) for value in (1.5, 0.5, 1.0, 1.5, 0.5, 0.5, 0.5, 3.0, 3.0, 9.0)]
    expected = {
        "actor/clip_q1": 0.1,
        "actor/clip_q2": 0.1,
        "actor/clip_q3": 0.3,
        "actor/clip_q4": 0.1,
        "actor/pg_clipfrac": 0.4,  # GRPO clips Q1 and Q3 alone
        "actor/ppo_kl": -sum(log_ratios) / 10,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_verl_takes_the_mean_of_the_metrics():
    from verl.utils.metric import Metric, reduce_metrics

    batch = token_batch(seed=0)
    _, _, metrics = through_verl(batch, actor(thresholds(Boundaries())), LOSS_NAME, "token-mean")
    reduced = reduce_metrics({name: [0.1, 0.5] for name in metrics})
    assert reduced == pytest.approx(dict.fromkeys(metrics, 0.3))
    assert all(type(value) is float for value in metrics.values())
    assert {name: metric.aggregate() for name, metric in Metric.from_dict(metrics, "mean").items()} == metrics


def test_a_taken_name_is_not_overwritten(monkeypatch):
    def someone_elses(**_):
        raise AssertionError("not called")

    monkeypatch.setitem(POLICY_LOSS_REGISTRY, LOSS_NAME, someone_elses)
    with pytest.raises(RuntimeError, match=r"another policy loss of the name 'abc_grpo'.*someone_elses"):
        register()
    assert POLICY_LOSS_REGISTRY[LOSS_NAME] is someone_elses


def test_registering_twice_is_no_mistake():
    register()
    assert POLICY_LOSS_REGISTRY[LOSS_NAME] is abc_grpo


@pytest.mark.slow
@pytest.mark.parametrize("first", ["verl", "abcgrpo.verl"])
def test_a_fresh_process_finds_the_loss(first):
    code = (
        f"import {first}; from verl.trainer.ppo.core_algos import get_policy_loss_fn;"
        "print(get_policy_loss_fn('abc_grpo').__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split()[-1] == "abcgrpo.verl.loss"
