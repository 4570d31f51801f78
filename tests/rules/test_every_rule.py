"""What holds for every rule of the registry: a new one joins by its line there."""

import math

import pytest
import torch

from abcgrpo.rules import RULES, AdaptiveRule, Rule, resolve_rule
from abcgrpo.tokens import tokens_of
from tests.rules.batches import TokenBatch, loss_and_gradient, token_batch

REDUCTIONS = ("sequence_mean", "token_mean", "dr_grpo")
CUTS = ([slice(0, 3), slice(3, 4), slice(4, 8)], [slice(0, 4), slice(4, 8)])
"""Three micro-batches of unequal size, and two ranks."""


@pytest.fixture(params=RULES)
def rule(request) -> Rule:
    return resolve_rule(request.param)


def tokens(batch: TokenBatch, rule: Rule):
    return tokens_of(batch.logprobs, batch.old_logprobs, batch.advantages, batch.mask, rule.level)


def options(reduction: str) -> dict:
    return {"max_length": 16} if reduction == "dr_grpo" else {}


def test_a_ratio_of_one_is_left_alone(rule: Rule) -> None:
    batch = token_batch(0)
    same = batch._replace(logprobs=batch.old_logprobs)
    weight = rule.weight(tokens(same, rule))[batch.mask]
    torch.testing.assert_close(weight, torch.ones_like(weight), rtol=1e-6, atol=0)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("magnitude", [1.0, 19.9, 50.0, 1e4])
def test_loss_and_gradient_are_finite_however_far_the_policy_moved(rule: Rule, magnitude: float, reduction) -> None:
    batch = token_batch(1)
    sign = torch.where(torch.arange(batch.logprobs.numel()) % 2 == 0, 1.0, -1.0).reshape(batch.logprobs.shape)
    for old in (torch.zeros_like(sign), torch.full_like(sign, -1e4), batch.old_logprobs):
        far = batch._replace(logprobs=old + magnitude * sign, old_logprobs=old)
        loss, gradient = loss_and_gradient(rule, far, reduction, **options(reduction))
        assert loss.isfinite()
        assert gradient.isfinite().all()
        assert rule.weight(tokens(far, rule))[batch.mask].isfinite().all()


def test_padding_takes_no_part(rule: Rule) -> None:
    batch = token_batch(2)
    dirty = batch._replace(
        logprobs=batch.logprobs.masked_fill(~batch.mask, math.nan),
        old_logprobs=batch.old_logprobs.masked_fill(~batch.mask, -math.inf),
    )
    loss, gradient = loss_and_gradient(rule, batch)
    assert loss_and_gradient(rule, dirty)[0] == loss
    assert torch.equal(loss_and_gradient(rule, dirty)[1], gradient)
    assert (gradient[~batch.mask] == 0).all()


def test_one_token_rows_and_empty_rows(rule: Rule) -> None:
    batch = token_batch(3)
    single = batch._replace(mask=batch.mask & (torch.arange(batch.mask.shape[1]) == 0))
    loss, gradient = loss_and_gradient(rule, single, "sequence_mean")
    assert loss.isfinite()
    assert gradient.count_nonzero() > 0
    nothing = batch._replace(mask=torch.zeros_like(batch.mask))
    loss, gradient = loss_and_gradient(rule, nothing, "sequence_mean")
    assert loss == 0
    assert (gradient == 0).all()


def test_half_precision_inputs_are_computed_in_float32(rule: Rule) -> None:
    half = token_batch(4, dtype=torch.bfloat16)
    single = TokenBatch(*(tensor.float() if tensor.is_floating_point() else tensor for tensor in half))
    loss, gradient = loss_and_gradient(rule, half)
    expected_loss, expected_gradient = loss_and_gradient(rule, single)
    assert loss.dtype == torch.float32
    assert loss == expected_loss
    assert torch.equal(gradient, expected_gradient.bfloat16())


def test_rows_without_advantage_are_silent(rule: Rule) -> None:
    batch = token_batch(5)
    gradient = loss_and_gradient(rule, batch)[1]
    assert rule.zero_advantage_is_silent
    assert (gradient[batch.advantages == 0] == 0).all()
    without = TokenBatch(*(tensor[batch.advantages != 0] for tensor in batch))
    tokens_in_all = float(batch.mask.sum())
    alone = loss_and_gradient(rule, without, normalizer=tokens_in_all)[1]
    torch.testing.assert_close(alone, gradient[batch.advantages != 0])


@pytest.mark.parametrize("cut", CUTS, ids=["micro-batches", "ranks"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_parts_add_up_to_the_whole(rule: Rule, reduction, cut) -> None:
    batch = token_batch(6)
    normalizer = float(batch.mask.sum()) if reduction == "token_mean" else float(len(batch.mask))
    given = options(reduction) | {"normalizer": normalizer}
    whole_loss, whole_gradient = loss_and_gradient(rule, batch, reduction, **given)
    parts = [loss_and_gradient(rule, batch.rows(part), reduction, **given) for part in cut]
    loss, gradient = torch.stack([part[0] for part in parts]).sum(), torch.cat([part[1] for part in parts])
    if rule.spans == "batch":  # says that it depends on the cut, and does
        assert not torch.allclose(gradient, whole_gradient)
        return
    torch.testing.assert_close(loss, whole_loss, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(gradient, whole_gradient, rtol=1e-6, atol=1e-8)
    if isinstance(rule, AdaptiveRule):
        assert_controllers_agree(rule, batch, cut)


def assert_controllers_agree(rule: AdaptiveRule, batch: TokenBatch, cut: list[slice]) -> None:
    batch = batch._replace(advantages=batch.advantages - 1)  # out of balance: something has to move
    whole, parted = rule.copy(), rule.copy()
    sums: dict[str, torch.Tensor] = {}
    for part in cut:
        for name, value in parted.measure(tokens(batch.rows(part), parted)).items():
            sums[name] = sums.get(name, torch.zeros(())) + value
    assert whole.update(whole.measure(tokens(batch, whole))) == pytest.approx(parted.update(sums), rel=1e-6)
    assert whole.state_dict() != rule.copy().state_dict(), "nothing moved"


@pytest.mark.parametrize("seed", range(20))
def test_the_weight_is_the_gradient_of_the_surrogate(rule: Rule, seed: int) -> None:
    batch = token_batch(seed, spread=0.1 if seed % 2 else 1.0)
    gradient = loss_and_gradient(rule, batch, "token_mean", normalizer=1.0)[1]
    expected = torch.where(batch.mask, -rule.weight(tokens(batch, rule)) * batch.advantages[:, None], 0.0)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(gradient, 1.01 * expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_no_weight_exceeds_the_bound_that_the_rule_claims(rule: Rule, seed: int) -> None:
    batch = token_batch(seed, spread=3.0)
    weight = rule.weight(tokens(batch, rule))[batch.mask & (batch.advantages != 0)[:, None]]
    if math.isfinite(rule.largest_weight):
        assert weight.max() <= rule.largest_weight * (1 + 1e-6)
    gradient = loss_and_gradient(rule, batch, "token_mean", normalizer=1.0)[1]
    assert gradient.abs().max() <= batch.advantages.abs().max() * rule.largest_weight * (1 + 1e-6)


def test_a_rule_explains_itself(rule: Rule) -> None:
    documentation = type(rule).__doc__ or ""
    assert "w = " in documentation
    assert any(source in documentation for source in ("arXiv", "paper", "control", "prime-rl", "ours")), "no source"


def test_the_control_has_no_bound_to_claim() -> None:
    batch = token_batch(0, spread=3.0)
    opened = resolve_rule("open")
    assert opened.weight(tokens(batch, opened)).max() > resolve_rule("abc_grpo").largest_weight
