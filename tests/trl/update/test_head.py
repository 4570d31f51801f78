"""The two ways to a token's log-prob: TRL's fused head, and the logits at once where it would save nothing."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel
from trl.kernels.chunked_logprob import TOKEN_CHUNK_SIZE
from trl.trainer import utils
from trl.trainer.utils import add_fused_lm_head

from abcgrpo.trl.update.head import (
    IGNORED,
    TILE_TOKENS,
    TILE_WORDS,
    score_from_logits,
    score_fused,
    why_fused,
)
from tests.trl.models import tiny_qwen3

TEMPERATURE = 0.7


@pytest.fixture
def row():
    """Ids and labels of one row: two stretches of it are scored."""
    ids = torch.randint(1, 50, (1, 14), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    labels[:, :3] = labels[:, 7:10] = IGNORED
    return ids, labels


def test_values_are_those_of_a_softmax_over_the_vocabulary(row):
    """Reference: the definition, token by token."""
    ids, labels = row
    model = tiny_qwen3()
    logprobs, entropies = score_from_logits(model, {"input_ids": ids}, labels, temperature=TEMPERATURE, entropy=True)
    with torch.no_grad():
        probabilities = (model(ids).logits[0].double() / TEMPERATURE).softmax(-1)
    places = [place for place in range(1, 14) if labels[0, place] != IGNORED]
    expected = [probabilities[place - 1, ids[0, place]].log().item() for place in places]
    assert logprobs.tolist() == pytest.approx(expected, abs=1e-5)
    expected = [-sum(p * p.log() for p in probabilities[place - 1]).item() for place in places]
    assert entropies.tolist() == pytest.approx(expected, abs=1e-5)


def test_gradients_are_those_of_the_fused_head(row):
    ids, labels = row
    model = tiny_qwen3()
    add_fused_lm_head(model, temperature=TEMPERATURE, outputs=("log_probs", "entropy"))
    runs = {
        "fused": score_fused(model, {"input_ids": ids}, labels),
        "logits": score_from_logits(model, {"input_ids": ids}, labels, temperature=TEMPERATURE, entropy=True),
        "at temperature 1": score_from_logits(model, {"input_ids": ids}, labels, temperature=1.0, entropy=True),
    }
    gradients = {}
    for name, (logprobs, _) in runs.items():
        model.zero_grad()
        (logprobs * torch.arange(1.0, len(logprobs) + 1)).sum().backward()
        gradients[name] = torch.cat([p.grad.flatten() for p in model.parameters()])
    torch.testing.assert_close(runs["logits"][0], runs["fused"][0])
    torch.testing.assert_close(runs["logits"][1], runs["fused"][1].detach())
    torch.testing.assert_close(gradients["logits"], gradients["fused"], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(gradients["at temperature 1"], gradients["fused"], rtol=1e-2)  # negative control


def test_entropies_carry_no_gradient_and_are_left_out_on_demand(row):
    ids, labels = row
    _, entropies = score_from_logits(tiny_qwen3(), {"input_ids": ids}, labels, temperature=1.0, entropy=True)
    assert not entropies.requires_grad
    assert score_from_logits(tiny_qwen3(), {"input_ids": ids}, labels, temperature=1.0, entropy=False)[1] is None


def test_the_head_sees_scored_tokens_only(row):
    ids, labels = row
    model, seen = tiny_qwen3(), []
    model.lm_head.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape[1]))
    score_from_logits(model, {"input_ids": ids}, labels, temperature=1.0, entropy=False)
    assert seen == [4 + 4]


def test_a_row_without_a_scored_token_has_a_gradient_of_zero(row):
    ids, labels = row
    model = tiny_qwen3()
    inputs = {"input_ids": ids}
    logprobs, _ = score_from_logits(model, inputs, torch.full_like(labels, IGNORED), temperature=1.0, entropy=False)
    assert logprobs.shape == (0,)
    logprobs.sum().backward()
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


def test_the_tile_is_trls():
    assert (TILE_TOKENS, TILE_WORDS) == (TOKEN_CHUNK_SIZE, utils._CHUNKED_LOGPROB_CHUNK_SIZE)


def test_which_models_keep_their_logits():
    assert why_fused(tiny_qwen3()) == ""
    assert why_fused(GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=20))) == ""
    assert "32,768 words" in why_fused(tiny_qwen3(vocab_size=TILE_WORDS + 1, hidden_size=4))
    assert "16-bit" in why_fused(tiny_qwen3().to(torch.bfloat16))
    with_adapter = get_peft_model(tiny_qwen3(), LoraConfig(r=2, target_modules=["q_proj", "lm_head"]))
    assert "linear" in why_fused(with_adapter.get_base_model())  # TRL's fused head leaves out the adapter
