"""A rule as users name it, and what every rule gets from the base class."""

import math
import sys
from dataclasses import dataclass

import pytest
import torch

from abcgrpo import Boundaries, policy_loss, token_loss
from abcgrpo.errors import UserError
from abcgrpo.rules import RULES, Rule, resolve_rule
from abcgrpo.tokens import tokens_of


def batch(dtype=torch.float32):
    torch.manual_seed(0)
    old = -torch.rand(4, 6, dtype=dtype) * 2
    logprobs = (old + torch.randn(4, 6, dtype=dtype) * 0.5).requires_grad_()
    return logprobs, old, torch.tensor([1.0, -1.0, 0.5, -2.0], dtype=dtype), torch.ones(4, 6, dtype=dtype)


def test_a_name_a_mapping_and_an_object_are_the_same_rule() -> None:
    assert resolve_rule("grpo") == resolve_rule({"name": "grpo", "eps": 0.2})
    assert resolve_rule("abc_grpo") == Boundaries()
    rule = Boundaries.uniform(0.1)
    assert resolve_rule(rule) is rule


@pytest.mark.parametrize("name", RULES)
def test_a_known_rule_is_made_again_from_its_record(name: str) -> None:
    rule = resolve_rule(name)
    assert rule.name == name
    assert resolve_rule(rule.to_dict()) == rule


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("grpoo", "Did you mean 'grpo'"),
        ({"name": "grpo", "epsilon": 0.2}, "Did you mean 'eps'"),
        ({"name": "open", "eps": 0.2}, "no parameters"),
        ({"name": "grpo", "eps": -1}, "must be a number ≥ 0"),
        ({"eps": 0.2}, "a mapping with a `name`"),
        ("no_such_module.Mine", "cannot be imported"),
        ("math.inf", "not a clipping rule"),
        ("math.info", "Did you mean 'inf'"),
    ],
)
def test_what_names_no_rule_is_refused_with_advice(given, message: str) -> None:
    with pytest.raises(UserError, match="arm A") as caught:
        resolve_rule(given, "arm A")
    assert message in str(caught.value)


def test_a_rule_of_ones_own_is_found_by_its_path_in_the_current_directory(tmp_path, monkeypatch) -> None:
    (tmp_path / "my_rules_of_this_test.py").write_text(
        "from dataclasses import dataclass\n"
        "from abcgrpo.rules import Rule\n\n"
        "@dataclass(frozen=True)\n"
        "class Halved(Rule):\n"
        "    share: float = 0.5\n\n"
        "    def surrogate(self, tokens):\n"
        "        return self.share * tokens.ratio * tokens.advantages\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    rule = resolve_rule({"name": "my_rules_of_this_test:Halved", "share": 0.25})
    assert rule.to_dict() == {"name": "my_rules_of_this_test.Halved", "share": 0.25}
    assert resolve_rule(rule.to_dict()) == rule
    logprobs, old, advantages, mask = batch()
    mine = policy_loss(logprobs, old, advantages, mask, rule)
    assert mine.item() == pytest.approx(
        0.25 * policy_loss(logprobs, old, advantages, mask, resolve_rule("open")).item()
    )


def test_the_weight_is_the_gradient_over_the_advantage() -> None:
    logprobs, old, advantages, mask = batch()
    tokens = tokens_of(logprobs, old, advantages, mask)
    ratio = (logprobs - old).exp().detach()
    outside = ((advantages[:, None] > 0) & (ratio > 1.2)) | ((advantages[:, None] < 0) & (ratio < 0.8))
    assert outside.any()
    assert not outside.all()
    torch.testing.assert_close(resolve_rule("grpo").weight(tokens), torch.where(outside, 0.0, ratio))
    torch.testing.assert_close(resolve_rule("open").weight(tokens), ratio)


def test_the_weight_of_a_token_without_advantage_is_its_ratio() -> None:
    tokens = tokens_of(torch.tensor([[0.5]]), torch.tensor([[0.0]]), torch.zeros(1))
    assert Boundaries().weight(tokens).item() == pytest.approx(math.exp(0.5))


def test_what_is_no_rule_is_refused() -> None:
    logprobs, old, advantages, mask = batch()
    with pytest.raises(ValueError, match="must be a clipping rule"):
        policy_loss(logprobs, old, advantages, mask, 0.2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="advantages must be a tensor"):
        policy_loss(logprobs, old, [1.0, 2.0, 3.0, 4.0], mask, Boundaries())  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.bool, torch.int64])
def test_masks_of_any_dtype_count_every_token(dtype: torch.dtype) -> None:
    width = 70_001  # more than float16 can count, and no multiple that bfloat16 can hold
    logprobs = torch.zeros(1, width)
    loss = policy_loss(logprobs, logprobs, torch.tensor([0.25]), torch.ones(1, width, dtype=dtype), Boundaries())
    assert loss.item() == pytest.approx(-0.25, rel=1e-6)


def test_float64_is_computed_in_float64() -> None:
    logprobs, old, advantages, mask = batch(torch.float64)

    def loss(values):
        return policy_loss(values, old, advantages, mask, Boundaries.uniform(0.31))

    assert loss(logprobs).dtype == torch.float64
    assert torch.autograd.gradcheck(loss, (logprobs,))


def test_padding_may_hold_anything() -> None:
    logprobs, old, advantages, _ = batch()
    mask = torch.ones(4, 6)
    mask[:, 4:] = 0
    dirty = logprobs.detach().clone()
    dirty[:, 4:] = torch.nan
    dirty.requires_grad_()
    loss = token_loss(dirty, torch.where(mask.bool(), old, torch.inf), advantages, Boundaries(), mask)
    (gradient,) = torch.autograd.grad(loss.sum(), dirty)
    assert loss.isfinite().all()
    assert gradient.isfinite().all()
    assert (gradient[:, 4:] == 0).all()


def test_a_class_without_a_surrogate_says_what_is_missing() -> None:
    @dataclass(frozen=True)
    class Empty(Rule):
        pass

    with pytest.raises(NotImplementedError, match="has no method `surrogate`"):
        token_loss(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1), Empty())
