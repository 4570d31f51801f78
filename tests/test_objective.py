"""Values and gradients worked out by hand, properties that hold for all inputs, and inputs at the extremes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from abcgrpo import Boundaries, aggregate, clipped_ratio, importance_ratio, policy_loss, token_loss

INF = math.inf
UNEQUAL = Boundaries(eps_pos_high=0.3, eps_pos_low=0.1, eps_neg_high=0.5, eps_neg_low=0.4)
REDUCTIONS = [("sequence_mean", {}), ("token_mean", {}), ("dr_grpo", {"max_length": 7})]


def one_token(ratio: float, advantage: float, bounds: Boundaries) -> tuple[float, float]:
    """Loss of a token, and its gradient in the log-prob."""
    logprobs = torch.tensor([[math.log(ratio)]], requires_grad=True)
    loss = token_loss(logprobs, torch.zeros(1, 1), torch.tensor([advantage]), bounds)
    loss.sum().backward()
    return loss.item(), logprobs.grad.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        # Â > 0: r is kept in [0.9, 1.3], the loss is −r̃·Â and its gradient −r·Â inside, 0 outside.
        (1.2, 2.0, -2.4, -2.4),
        (2.0, 2.0, -2.6, 0.0),  # Q1
        (0.95, 2.0, -1.9, -1.9),
        (0.5, 2.0, -1.8, 0.0),  # Q2, which GRPO does not clip
        # Â < 0: r is kept in [0.6, 1.5].
        (1.4, -0.5, 0.7, 0.7),
        (3.0, -0.5, 0.75, 0.0),  # Q4, which GRPO does not clip
        (0.7, -0.5, 0.35, 0.35),
        (0.1, -0.5, 0.3, 0.0),  # Q3
        (3.0, 0.0, 0.0, 0.0),
    ],
)
def test_four_quadrants_by_hand(ratio, advantage, loss, gradient):
    assert one_token(ratio, advantage, UNEQUAL) == pytest.approx((loss, gradient), abs=1e-6)


@pytest.mark.parametrize(("ratio", "advantage"), [(0.5, 2.0), (3.0, -0.5)])
def test_grpo_leaves_q2_and_q4_open(ratio, advantage):
    assert one_token(ratio, advantage, Boundaries.grpo(0.2)) == pytest.approx((-ratio * advantage,) * 2, rel=1e-6)


def test_reductions_by_hand():
    losses = torch.tensor([[1.0, 2.0, 3.0], [10.0, math.nan, math.nan]])
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    assert aggregate(losses, mask, "sequence_mean") == pytest.approx((2 + 10) / 2)
    assert aggregate(losses, mask, "token_mean") == pytest.approx(16 / 4)
    assert aggregate(losses, mask, "dr_grpo", max_length=8) == pytest.approx((6 / 8 + 10 / 8) / 2)
    assert aggregate(losses, mask, "token_mean", normalizer=32) == pytest.approx(0.5)


def test_sequence_ratio_is_the_geometric_mean_of_the_unmasked_tokens():
    logprobs = torch.tensor([[0.3, 0.6, math.nan]])
    mask = torch.tensor([[1, 1, 0]])
    ratio = importance_ratio(logprobs, torch.zeros(1, 3), mask, level="sequence")
    assert ratio.tolist() == [pytest.approx([math.exp(0.45)] * 3)]


def test_sequence_level_gradient_by_hand():
    """d/dlogprob of −Â·exp(mean log-ratio), averaged over the response's 2 tokens, is −Â·r/2 for each."""
    logprobs = torch.tensor([[0.05, 0.15]], requires_grad=True)
    ones = torch.ones(1, 2)
    loss = policy_loss(logprobs, torch.zeros(1, 2), torch.tensor([3.0]), ones, Boundaries(), level="sequence")
    loss.backward()
    ratio = math.exp(0.1)
    assert loss.item() == pytest.approx(-3 * ratio)
    assert logprobs.grad.tolist() == [pytest.approx([-1.5 * ratio] * 2)]


thresholds = st.floats(0, 5) | st.just(INF)
all_bounds = st.builds(Boundaries, thresholds, thresholds, thresholds, thresholds)
log_ratios = st.floats(-30, 30)
advantages_32 = st.floats(-4, 4, width=32, allow_subnormal=False)
"""What float32 holds exactly: a tinier advantage is 0 as a tensor."""


@given(log_ratios, advantages_32, st.floats(0, 3), st.floats(0, 1), st.floats(0, 3), st.floats(0, 1))
def test_gradient_is_bounded_in_every_quadrant(log_ratio, advantage, e1, e2, e3, e4):
    """Equation 16 with G_max = 1: |∂loss/∂logprob| ≤ A_max·(1 + max(ε1, ε3))."""
    logprobs = torch.tensor([[log_ratio]], requires_grad=True)
    token_loss(logprobs, torch.zeros(1, 1), torch.tensor([advantage]), Boundaries(e1, e2, e3, e4)).sum().backward()
    assert abs(logprobs.grad.item()) <= abs(advantage) * (1 + max(e1, e3)) * (1 + 1e-5)


def test_without_the_third_bound_the_gradient_is_not_bounded():
    """The negative control of the property above: GRPO in Q4."""
    _, gradient = one_token(math.exp(10), -1.0, Boundaries.grpo(0.2))
    assert gradient > 20_000


@given(log_ratios, advantages_32, all_bounds)
def test_ratio_stays_within_its_bounds(log_ratio, advantage, bounds):
    ratio = clipped_ratio(torch.tensor([[log_ratio]]), torch.zeros(1, 1), torch.tensor([advantage]), bounds).item()
    low, high = (
        (1 - bounds.eps_pos_low, 1 + bounds.eps_pos_high)
        if advantage > 0
        else (1 - bounds.eps_neg_low, 1 + bounds.eps_neg_high)
    )
    assert low - 1e-6 <= ratio <= high * (1 + 1e-6)


@given(log_ratios, advantages_32, st.floats(0, 0.99))
def test_grpo_setting_is_the_minimum_of_equation_4(log_ratio, advantage, eps):
    logprobs = torch.tensor([[log_ratio]])
    loss = token_loss(logprobs, torch.zeros(1, 1), torch.tensor([advantage]), Boundaries.grpo(eps)).item()
    ratio = math.exp(min(max(log_ratio, -20), 20))
    expected = -min(ratio * advantage, min(max(ratio, 1 - eps), 1 + eps) * advantage)
    assert loss == pytest.approx(expected, rel=1e-4, abs=1e-6)


def batch(seed: int, rows: int = 8, length: int = 11):
    """Random log-probs, advantages and ragged masks, with NaN wherever the mask is 0."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(length) < torch.randint(1, length + 1, (rows, 1), generator=generator)
    logprobs = torch.where(mask, torch.randn(rows, length, generator=generator), math.nan)
    old_logprobs = torch.where(mask, logprobs + 0.4 * torch.randn(rows, length, generator=generator), math.nan)
    return logprobs.requires_grad_(), old_logprobs, torch.randn(rows, generator=generator), mask


@pytest.mark.parametrize(("reduction", "options"), REDUCTIONS)
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("parts", [1, 2, 8])
def test_micro_batches_add_up_to_the_batch(reduction, options, level, parts):
    logprobs, old_logprobs, advantages, mask = batch(seed=0)
    settings = {"rule": UNEQUAL, "reduction": reduction, "level": level, **options}
    whole = policy_loss(logprobs, old_logprobs, advantages, mask, **settings)
    (whole_gradient,) = torch.autograd.grad(whole, logprobs)
    normalizer = mask.sum() if reduction == "token_mean" else len(mask)
    chunks = zip(*(tensor.chunk(parts) for tensor in (logprobs, old_logprobs, advantages, mask)), strict=True)
    pieces = sum(policy_loss(*chunk, **settings, normalizer=normalizer) for chunk in chunks)
    (gradient,) = torch.autograd.grad(pieces, logprobs)
    torch.testing.assert_close(pieces, whole)
    torch.testing.assert_close(gradient, whole_gradient)


def test_token_mean_of_micro_batches_without_a_normalizer_is_another_number():
    """The negative control of the invariance above: rows of unequal length, each normalised by itself."""
    logprobs, old_logprobs, advantages, mask = batch(seed=0)
    whole = policy_loss(logprobs, old_logprobs, advantages, mask, UNEQUAL, "token_mean")
    chunks = zip(*(tensor.chunk(8) for tensor in (logprobs, old_logprobs, advantages, mask)), strict=True)
    mean_of_means = sum(policy_loss(*chunk, UNEQUAL, "token_mean") for chunk in chunks) / 8
    assert abs(mean_of_means - whole) > 1e-3


@pytest.mark.parametrize(("reduction", "options"), REDUCTIONS)
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("bounds", [Boundaries(), Boundaries.grpo(), Boundaries.uniform(INF)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extremes_stay_finite(reduction, options, level, bounds, dtype):
    """Log-ratios of ±1e4, NaN in the padding, a row of one token and a row of none."""
    logprobs = torch.tensor([[0.0, -1e4, 0, -1e4], [-1e4, math.nan, math.nan, math.nan], [math.nan] * 4], dtype=dtype)
    old_logprobs = torch.tensor(
        [[-1e4, 0.0, 0, -1e4], [0.0, math.nan, math.nan, math.nan], [math.nan] * 4], dtype=dtype
    )
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]])
    for advantages in ([1.0, 1.0, 1.0], [-1.0, -1.0, -1.0], [0.0, 0.0, 0.0]):
        leaf = logprobs.clone().requires_grad_()
        loss = policy_loss(
            leaf, old_logprobs, torch.tensor(advantages), mask, bounds, reduction, level=level, **options
        )
        loss.backward()
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        assert leaf.grad.isfinite().all()
        assert (leaf.grad[mask == 0] == 0).all()


@pytest.mark.parametrize(("reduction", "options"), REDUCTIONS)
def test_an_empty_batch_costs_nothing(reduction, options):
    empty = torch.zeros(2, 3, requires_grad=True)
    loss = policy_loss(empty, torch.zeros(2, 3), torch.ones(2), torch.zeros(2, 3), Boundaries(), reduction, **options)
    assert loss.item() == 0


def test_advantages_may_differ_per_token():
    logprobs = torch.full((1, 2), math.log(2.0))
    loss = token_loss(logprobs, torch.zeros(1, 2), torch.tensor([[1.0, -1.0]]), UNEQUAL)
    assert loss.tolist() == [pytest.approx([-1.3, 1.5])]


def test_misuse_is_refused():
    two_by_three, mask = torch.zeros(2, 3), torch.ones(2, 3)
    with pytest.raises(ValueError, match="one shape"):
        importance_ratio(two_by_three, torch.zeros(2, 1))
    with pytest.raises(ValueError, match="advantages"):
        token_loss(two_by_three, two_by_three, torch.zeros(3), Boundaries())
    with pytest.raises(ValueError, match="needs a mask"):
        importance_ratio(two_by_three, two_by_three, level="sequence")
    with pytest.raises(ValueError, match="level"):
        importance_ratio(two_by_three, two_by_three, mask, level="word")
    with pytest.raises(ValueError, match="reduction"):
        aggregate(two_by_three, mask, "median")
    for name, reduction in (("grpo", "sequence_mean"), ("dapo", "token_mean"), ("bnpo", "token_mean")):
        with pytest.raises(ValueError, match=f"TRL's loss_type='{name}' is \"{reduction}\" here"):
            aggregate(two_by_three, mask, name)
    rows = torch.ones(2)
    for rule in (0.2, "grpo", None):
        with pytest.raises(ValueError, match=r"rule must be a clipping rule, such as .*resolve_rule\('grpo'\)"):
            policy_loss(two_by_three, two_by_three, rows, mask, rule)
    with pytest.raises(ValueError, match=r"advantages must be a tensor, got list: torch\.tensor\(advantages\)"):
        policy_loss(two_by_three, two_by_three, [1.0, -1.0], mask, Boundaries())
    with pytest.raises(ValueError, match=r"mask must be a tensor of shape .* got list"):
        policy_loss(two_by_three, two_by_three, rows, mask.tolist(), Boundaries())
    for options in ({"reduction": "dr_grpo"}, {"reduction": "token_mean", "max_length": 3}):
        with pytest.raises(ValueError, match="max_length"):
            aggregate(two_by_three, mask, **options)
