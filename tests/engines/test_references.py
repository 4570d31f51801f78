"""Our objective beside the losses of an engine that takes none from outside: the same loss and gradient.

OpenPipe ART is asked through its own `loss_fn`. The package around that function starts clients of language models, and
is left out: its modules are found, and nothing of its `__init__` is run.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, distribution
from types import ModuleType

import pytest
import torch

from abcgrpo import Boundaries, policy_loss
from abcgrpo.rules import resolve_rule
from tests.engines.batches import batch

INFINITE = float("inf")
SETTINGS = {
    "ppo": ({"ppo": True, "epsilon": 0.2, "epsilon_high": 0.28}, Boundaries(0.28, INFINITE, INFINITE, 0.2)),
    "ppo, one epsilon": ({"ppo": True, "epsilon": 0.2}, Boundaries.grpo(0.2)),
    "ppo by response": (
        {"ppo": True, "epsilon": 0.2, "importance_sampling_level": "sequence"},
        resolve_rule({"name": "gspo", "low": 0.2, "high": 0.2}),
    ),
    "cispo, its default": ({}, resolve_rule("cispo")),
}
"""ART's configuration, and our rule. PPO's minimum has no bound below where Â > 0, nor above where Â < 0."""


@pytest.fixture(scope="module")
def art_loss():
    """`art.loss`, with the package's own modules where it asks for them."""
    try:
        root = distribution("openpipe-art").locate_file("art")
    except PackageNotFoundError:
        pytest.skip("ART has an environment of its own: make test-engines")
    before = set(sys.modules)
    for name in ("art", "art.utils", "art.dev"):
        module = ModuleType(name)
        module.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        module.__spec__ = ModuleSpec(name, None, is_package=True)
        sys.modules[name] = module
    sys.modules["art.dev"].TrainConfig = dict  # an annotation
    yield importlib.import_module("art.loss")
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "art":
            del sys.modules[name]


def theirs(art, config):
    """ART's loss and its gradient."""
    made = batch()
    rows = torch.arange(1, len(made.mask) + 1)[:, None].expand(made.mask.shape)
    inputs = art.AlignedLossInputs(
        assistant_mask=made.mask,
        old_logprobs=made.old,
        advantages=made.advantages,
        weights=torch.ones_like(made.old),
        group_ids=rows,
    )
    loss = art.loss_fn(inputs, made.new, None, None, config).policy_loss
    return loss.item(), torch.autograd.grad(loss, made.new)[0]


def ours(rule):
    made = batch()
    loss = policy_loss(made.new, made.old, made.advantages, made.mask, rule, "token_mean")
    return loss.item(), torch.autograd.grad(loss, made.new)[0]


@pytest.mark.parametrize("name", SETTINGS)
def test_the_objective_is_that_of_art(art_loss, name):
    config, rule = SETTINGS[name]
    loss, gradient = theirs(art_loss, config)
    expected, wanted = ours(rule)
    assert loss == pytest.approx(expected, abs=1e-6)
    assert torch.allclose(gradient, wanted, atol=1e-7)
    assert gradient.abs().max() > 1e-3


def test_four_bounds_are_another_objective(art_loss):
    _, gradient = theirs(art_loss, {"ppo": True, "epsilon": 0.2})
    _, other = ours(Boundaries.uniform(0.2))
    assert (gradient - other).abs().max() > 1e-3
