"""Which layout a model gets: by what its configuration says, and by what a small copy of it does."""

import re

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM, PreTrainedModel

from abcgrpo.trl.update.attention import varlen_attention
from abcgrpo.trl.update.choice import choose_layout
from abcgrpo.trl.update.replica import shrunken, small_copy
from tests.trl.models import tiny_qwen3
from tests.trl.update.sweep import sweep, tiny

SAMPLE = {
    "llama": ("packed", ""),
    "qwen3_moe": ("packed", ""),
    "deepseek_v3": ("packed", ""),
    "smollm3": ("packed", ""),
    "mistral": ("flushed", "window (sliding_window)"),
    "mixtral + window": ("flushed", "window (sliding_window)"),
    "phi3 + window": ("flushed", "window (sliding_window)"),
    "phimoe + window": ("flushed", "window (sliding_window)"),
    "starcoder2 + window": ("flushed", "window (sliding_window)"),
    "ministral3 + window": ("flushed", "window (sliding_window)"),
    "gemma2": ("flushed", "not full attention"),
    "stablelm": ("flushed", "packed rows are an error"),
    "nemotron": ("flushed", "packed rows are an error"),
    "jetmoe": ("flushed", "packed rows are an error"),
    "falcon": ("flushed", "packed rows change the logits"),
    "falcon_h1": ("flushed", "packed rows change the logits"),
    "doge": ("stock", "flushed rows change the logits"),
    "mamba2": ("stock", "not plain rotary"),
}
"""Types of every kind: layers that ignore the attention they are given, windows, state spaces, experts."""


@pytest.mark.parametrize("name", SAMPLE)
def test_types_of_transformers(name):
    outcome = sweep(name)
    layout, why = SAMPLE[name]
    assert outcome.layout == layout
    assert why in outcome.reason
    assert not outcome.differs


def test_the_sweep_notices_a_layout_that_is_wrong(monkeypatch):
    """Mamba's states run from one packed row into the next."""
    monkeypatch.setattr("tests.trl.update.sweep.choose_layout", lambda *_: ("packed", ""))
    outcome = sweep("falcon_h1")
    assert outcome.differs
    assert outcome.logprobs > 0.1


def test_a_window_is_never_ignored(monkeypatch):
    """Had the configuration's field a name that is not known, the layer's own argument would tell."""
    monkeypatch.setattr("abcgrpo.trl.update.choice.WINDOW", re.compile("unknown"))
    layout, reason = choose_layout(tiny("mistral"), False, {})
    assert layout == "flushed"
    assert "asks for sliding_window" in reason


@pytest.mark.parametrize("extra", [{"sliding_window": 4}, {"dropout": 0.1}, {"s_aux": torch.zeros(1)}])
def test_packed_rows_refuse_what_they_would_leave_out(extra):
    states = torch.zeros(1, 2, 6, 4)
    limits = {"cu_seq_lens_q": torch.tensor([0, 2, 6], dtype=torch.int32), "max_length_q": 4}
    varlen_attention(torch.nn.Module(), states, states, states, None, **limits)
    with pytest.raises(NotImplementedError, match=next(iter(extra))):
        varlen_attention(torch.nn.Module(), states, states, states, None, **limits, **extra)


@pytest.mark.parametrize(
    ("changes", "layout", "why"),
    [
        ({}, "packed", ""),
        ({"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}, "flushed", "not full attention"),
        ({"use_sliding_window": False, "sliding_window": 4}, "packed", ""),
        ({"attention_dropout": 0.1}, "flushed", "dropout"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}, "stock", "padding"),
        ({"attn_implementation": "eager"}, "flushed", "'eager'"),
    ],
)
def test_what_the_configuration_says(changes, layout, why):
    chosen, reason = choose_layout(tiny_qwen3(**changes), False, {})
    assert chosen == layout
    assert why in reason


def test_learned_positions_keep_trls_layout():
    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=20))
    assert choose_layout(model, False, {})[0] == "stock"


@pytest.mark.parametrize(
    ("adapter", "layout"),
    [
        (LoraConfig(), "packed"),
        (LoraConfig(task_type="CAUSAL_LM", alora_invocation_tokens=[3, 4]), "stock"),
        (PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2), "stock"),
    ],
)
def test_adapters(adapter, layout):
    chosen, reason = choose_layout(tiny_qwen3(), False, {"default": adapter})
    assert chosen == layout
    assert bool(reason) == (layout == "stock")


class Peeks(LlamaForCausalLM):
    """Adds to every logit the mean of the whole pass, later tokens and other rows included."""

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = output.logits + output.logits.mean()
        return output


class CannotBeCopied(LlamaForCausalLM):
    def __init__(self, config):
        if config.hidden_size < 128:
            raise ValueError("too small")
        super().__init__(config)


def of_class(kind: type) -> PreTrainedModel:
    config = tiny("llama").config
    config.hidden_size = 128
    return kind(config)


@pytest.mark.parametrize(("kind", "why"), [(Peeks, "flushed rows change"), (CannotBeCopied, "too small")])
def test_a_class_that_nobody_knows_is_tried_and_not_believed(kind, why):
    layout, reason = choose_layout(of_class(kind), False, {})
    assert layout == "stock"
    assert why in reason


def test_a_copy_is_small_and_the_model_is_left_alone():
    model = of_class(LlamaForCausalLM)
    model.config.max_position_embeddings = 4096
    before, state = model.config.to_dict(), torch.get_rng_state()
    copied = small_copy(model, "sdpa")
    assert model.config.to_dict() == before
    assert torch.get_rng_state().equal(state)
    assert copied.config.hidden_size == 64
    assert sum(weight.numel() for weight in copied.parameters()) < 1e5


def test_a_copy_has_one_layer_of_every_kind():
    config = tiny_qwen3().config
    config.num_hidden_layers = 6
    config.layer_types = ["sliding_attention"] * 3 + ["full_attention"] * 3
    config.sliding_window = 4096
    small = shrunken(config)
    assert small.layer_types == ["sliding_attention", "sliding_attention", "full_attention"]
    assert small.num_hidden_layers == 3
    assert small.sliding_window == 4


def test_sharded_or_quantized_weights_do_not_matter():
    """Only class and configuration are looked at: the weights may be anywhere."""
    assert choose_layout(tiny_qwen3().to("meta"), False, {}) == ("packed", "")
