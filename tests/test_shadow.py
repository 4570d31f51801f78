"""Shadow rules against the rules when they are really trained, and against sums written out."""

import pytest
import torch

from abcgrpo.objective import token_loss
from abcgrpo.rules import RULES, AdaptiveRule, resolve_rule
from abcgrpo.shadow import DEFAULT_SHADOWS, ShadowRules
from tests.rules.batches import TokenBatch, token_batch

SHADOWS = [name for name in RULES if not isinstance(resolve_rule(name), AdaptiveRule) and name != "m2po"]


def shadows(trained: str = "grpo", names=DEFAULT_SHADOWS) -> ShadowRules:
    return ShadowRules(resolve_rule(trained), {name: resolve_rule(name) for name in names})


def trained_weight(name: str, batch: TokenBatch) -> torch.Tensor:
    """w as the gradient of the loss that the rule trains with shows it: −∂loss/∂logπ ÷ Â."""
    logprobs = batch.logprobs.clone().requires_grad_()
    loss = token_loss(logprobs, batch.old_logprobs, batch.advantages, resolve_rule(name), batch.mask).sum()
    (gradient,) = torch.autograd.grad(loss, logprobs)
    return torch.where(batch.advantages[:, None] == 0, 0.0, -gradient / batch.advantages[:, None])


@pytest.mark.parametrize("seed", range(20))
def test_removed_mass_is_that_of_the_rule_when_it_is_trained(seed: int) -> None:
    batch = token_batch(seed)
    measured = shadows("grpo", SHADOWS)
    found = measured.summarize(measured.measure(*batch))
    ratio = (batch.logprobs - batch.old_logprobs).exp()
    size = batch.advantages.abs()[:, None] * batch.mask
    good = batch.advantages[:, None] > 0
    places = {"": True, "/q1": good & (ratio > 1), "/q2": good & (ratio < 1)}
    places |= {"/q3": ~good & (ratio < 1), "/q4": ~good & (ratio > 1)}
    mass = (size * ratio).sum()
    weights = {name: trained_weight(name, batch) for name in SHADOWS}
    for name in SHADOWS:
        label = "trained" if name == "grpo" else name
        for place, inside in places.items():
            expected = (size * inside * (ratio - weights[name]).abs()).sum() / mass
            assert found[f"removed/{label}{place}"] == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)
        if name != "grpo":
            distance = (size * (weights["grpo"] - weights[name]).abs()).sum() / mass
            assert found[f"distance/trained/{name}"] == pytest.approx(distance.item(), rel=1e-5, abs=1e-6)
    assert found["removed/trained"] > 0.01


def test_by_hand() -> None:
    ratio = torch.tensor([[1.5, 0.5, 1.0, 1.1], [0.5, 3.0, 0.9, 99.0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    measured = shadows("grpo", ("open", "abc_grpo"))
    sums = measured.measure(ratio.log() - 5, torch.full((2, 4), -5.0), torch.tensor([2.0, -1.0]), mask)
    mass = 2 * (1.5 + 0.5 + 1 + 1.1) + 0.5 + 3 + 0.9
    found = measured.summarize(sums)
    assert sums["mass"].item() == pytest.approx(mass)
    assert found["removed/open"] == 0
    assert found["removed/trained"] == pytest.approx((2 * 1.5 + 0.5) / mass)
    assert found["removed/abc_grpo"] == pytest.approx((2 * (1.5 + 0.5) + 0.5 + 3) / mass)
    assert [found[f"removed/abc_grpo/q{k}"] * mass for k in (1, 2, 3, 4)] == pytest.approx([3, 1, 0.5, 3])
    assert found["distance/trained/abc_grpo"] == pytest.approx((1 + 3) / mass)
    assert found["distance/trained/open"] == found["removed/trained"]


def test_parts_add_up_over_micro_batches_and_ranks() -> None:
    batch = token_batch(1)
    measured = shadows()
    whole = measured.summarize(measured.measure(*batch))
    parts = [measured.measure(*batch.rows(cut)) for cut in (slice(0, 1), slice(1, 5), slice(5, 8))]
    added = {name: sum(part[name] for part in parts) for name in parts[0]}
    assert measured.summarize(added) == pytest.approx(whole, rel=1e-5)


def test_the_first_mini_batch_of_a_rollout_is_exactly_0() -> None:
    batch = token_batch(2)
    measured = shadows("gspo", SHADOWS)
    found = measured.summarize(measured.measure(batch.old_logprobs, *batch[1:]))
    assert set(found.values()) == {0.0}


def test_a_shadow_that_is_the_trained_rule_is_left_out() -> None:
    assert list(shadows("abc_grpo").rules) == ["trained", "open", "grpo", "dppo_tv", "cispo"]


def test_a_rule_that_looks_at_the_whole_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="m2po cannot be a shadow rule"):
        shadows("grpo", ("m2po",))


def test_padding_may_hold_anything() -> None:
    batch = token_batch(3)
    measured = shadows()
    dirty = batch._replace(logprobs=batch.logprobs.masked_fill(~batch.mask, torch.nan))
    assert measured.summarize(measured.measure(*dirty)) == measured.summarize(measured.measure(*batch))
