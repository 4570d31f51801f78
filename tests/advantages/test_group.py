import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from abcgrpo import group_advantages


def test_equation_3_by_hand():
    rewards = torch.tensor([1.0, 0, 0, 0, 1, 1, 0, 0])
    assert group_advantages(rewards, 4).tolist() == [0.75, -0.25, -0.25, -0.25, 0.5, 0.5, -0.5, -0.5]


def test_group_scale_is_the_sample_standard_deviation_plus_1e_4():
    advantages = group_advantages(torch.tensor([1.0, 0, 0, 0]), 4, "group")
    assert advantages[0].item() == pytest.approx(0.75 / (0.5 + 1e-4))  # sample variance (0.75² + 3·0.25²)/3 = 0.25


def test_batch_scale_divides_every_group_alike():
    rewards = torch.tensor([1.0, 0, 3, 1])
    expected = torch.tensor([0.5, -0.5, 1, -1]) / (rewards.std() + 1e-4)
    torch.testing.assert_close(group_advantages(rewards, 2, "batch"), expected)


@pytest.mark.parametrize("scale", ["none", "group", "batch"])
@given(reward=st.floats(-10, 10, width=32), size=st.integers(1, 16))
def test_a_constant_group_has_advantage_exactly_0(scale, reward, size):
    rewards = torch.cat([torch.full((size,), reward), torch.arange(float(size))])
    assert (group_advantages(rewards, size, scale)[:size] == 0).all()


def test_rounding_would_give_a_constant_group_an_advantage():
    """Why the rule above is not left to arithmetic: 0.1 is not its own mean in float32."""
    rewards = torch.full((7,), 0.1)
    assert ((rewards - rewards.mean()) / (rewards.std() + 1e-4)).abs().max() > 1e-5


def test_unscored_responses_take_no_part():
    nan = math.nan
    advantages = group_advantages(torch.tensor([1.0, 0, nan, nan, nan, nan, nan, 1.0]), 4, "group")
    assert advantages.tolist() == pytest.approx(
        [0.5 / (math.sqrt(0.5) + 1e-4), -0.5 / (math.sqrt(0.5) + 1e-4)] + [0] * 6
    )


def test_misuse_is_refused():
    for rewards, size in ((torch.zeros(5), 2), (torch.zeros(2, 2), 2), (torch.zeros(4), 0)):
        with pytest.raises(ValueError, match="multiple of group_size"):
            group_advantages(rewards, size)
    with pytest.raises(ValueError, match="scale"):
        group_advantages(torch.zeros(4), 2, "variance")
    with pytest.raises(
        ValueError, match=r"rewards must be a tensor of shape \(N,\), got list: torch\.tensor\(rewards\)"
    ):
        group_advantages([1.0, 0.0], 2)  # type: ignore[arg-type]
