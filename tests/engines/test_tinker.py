"""The loss in the hands of Tinker's client, which sends the service weights: they must be minus its gradient."""

from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("tinker", reason="Tinker's client has an environment of its own: make test-engines")

from tinker import types
from tinker.lib.public_interfaces.training_client import TrainingClient

from abcgrpo import policy_loss
from abcgrpo.engines.tinker import rule_loss
from tests.engines.batches import batch, known_rules


def data(made) -> list:
    """A datum per response, each as long as its response and a prompt of two tokens."""
    found = []
    for row, length in enumerate(made.mask.sum(1).tolist()):
        fields = {
            "target_tokens": torch.arange(length + 2),
            "logprobs": torch.cat([torch.zeros(2), made.old[row, :length]]),
            "advantages": torch.cat([torch.zeros(2), made.advantages[row, :length]]),
            "mask": torch.cat([torch.zeros(2), torch.ones(length)]),
        }
        inputs = {name: types.TensorData.from_torch(value) for name, value in fields.items()}
        tokens = types.ModelInput.from_ints(list(range(length + 2)))
        found.append(types.Datum(model_input=tokens, loss_fn_inputs=inputs))
    return found


@pytest.mark.parametrize("reduction", ["sequence_mean", "token_mean"])
@pytest.mark.parametrize("rule", known_rules().values(), ids=known_rules())
def test_the_client_sends_minus_the_gradient(rule, reduction):
    made = batch()
    lengths = made.mask.sum(1).tolist()
    answered = [
        {"logprobs": types.TensorData.from_torch(torch.cat([torch.zeros(2), made.new[row, :length].detach()]))}
        for row, length in enumerate(lengths)
    ]
    result = TrainingClient._compute_custom_loss(
        data(made), rule_loss(rule, reduction), SimpleNamespace(loss_fn_outputs=answered)
    )
    sent = next(value for value in vars(result).values() if isinstance(value, list))
    expected = policy_loss(made.new, made.old, made.advantages, made.mask, rule, reduction)
    (gradient,) = torch.autograd.grad(expected, made.new)
    for row, length in enumerate(lengths):
        weights = sent[row].loss_fn_inputs["weights"].to_torch()
        torch.testing.assert_close(weights[2:], -gradient[row, :length], rtol=1e-4, atol=1e-7)
        assert weights[:2].tolist() == [0.0, 0.0]
    assert gradient.abs().max() > 1e-3


def test_a_datum_without_a_mask_is_refused():
    made = data(batch())[0]
    del made.loss_fn_inputs["mask"]
    with pytest.raises(ValueError, match="lack mask"):
        rule_loss("abc_grpo")([made], [torch.zeros(3)])
