"""Rows laid out for the model and back: the same log-probs as TRL's padded rows, whatever the layout."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import MambaConfig, MambaForCausalLM, Qwen3ForCausalLM
from trl.trainer.utils import add_fused_lm_head

from abcgrpo.trl.update.attention import packed_mask, use_varlen_attention
from abcgrpo.trl.update.flops import ModelShape
from abcgrpo.trl.update.head import IGNORED, score_fused
from abcgrpo.trl.update.layout import lay_out
from tests.trl.models import tiny_qwen3

PROMPTS, COMPLETIONS = (3, 1, 5, 2), (4, 7, 1, 0)
"""Tokens of each row; the last one has no completion, as after the masking of truncated ones."""


@pytest.fixture
def model() -> Qwen3ForCausalLM:
    built = tiny_qwen3()
    add_fused_lm_head(built, outputs=("log_probs", "entropy"))
    use_varlen_attention(built)
    return built


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, 50, (4, 12), generator=generator)
    mask = torch.zeros(4, 12, dtype=torch.long)
    for row, (prompt, completion) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        mask[row, 5 - prompt : 5 + completion] = 1
    return ids, mask


def run(model, laid_out, layout):
    extra = packed_mask(model, torch.device("cpu")) if layout == "packed" else {}
    return [laid_out.completion_values(v) for v in score_fused(model, laid_out.model_inputs | extra, laid_out.labels)]


@pytest.mark.parametrize("layout", ["packed", "flushed"])
@pytest.mark.parametrize("chosen", [None, [True, False, True, False], [False, False, False, True]])
def test_log_probs_entropies_and_gradients_are_those_of_padded_rows(model, batch, layout, chosen):
    rows = None if chosen is None else torch.tensor(chosen)
    ids, mask = batch
    gradients = []
    for how in ("stock", layout):
        model.zero_grad()
        logps, entropies = run(model, lay_out(ids, mask, 7, how, rows), how)
        (logps * torch.arange(1.0, 8.0)).sum().backward()
        gradients.append((logps, entropies, *(p.grad.clone() for p in model.parameters())))
    for ours, stock in zip(*reversed(gradients), strict=True):
        torch.testing.assert_close(ours, stock, rtol=1e-4, atol=1e-5)


def test_values_land_where_the_row_has_them(batch):
    ids, mask = batch
    rows = torch.tensor([True, False, True, True])
    laid_out = lay_out(ids, mask, 7, "packed", rows)
    labels = laid_out.labels[:, 1:]
    values = labels[labels != IGNORED].float()  # each label as its own value
    expected = torch.where(mask[:, -7:].bool() & rows[:, None], ids[:, -7:], 0).float()
    assert laid_out.completion_values(values).equal(expected)


def test_positions_computed(batch):
    ids, mask = batch
    assert lay_out(ids, mask, 7, "packed").positions == sum(PROMPTS) + sum(COMPLETIONS)
    assert lay_out(ids, mask, 7, "flushed").positions == 4 * 8
    assert lay_out(ids, mask, 7, "stock").positions == 4 * 12


def test_a_row_without_prompt_is_refused(batch):
    ids, mask = batch
    mask[0, :5] = 0
    with pytest.raises(ValueError, match="at least one prompt token"):
        lay_out(ids, mask, 7, "packed")


def test_packed_rows_do_not_see_one_another_even_with_the_cache_on(model, batch):
    """transformers' own `sdpa` attends across packed rows when the cache is on; ours has the rows' limits."""
    ids, mask = batch
    inputs = lay_out(ids, mask, 7, "packed").model_inputs | packed_mask(model, torch.device("cpu"))
    changed = inputs["input_ids"].clone()
    changed[0, 0] = (changed[0, 0] + 1) % 50  # the first token of the first row
    first_row = PROMPTS[0] + COMPLETIONS[0]
    for use_cache in (False, True):
        before = model(**inputs, use_cache=use_cache).logits
        after = model(**(inputs | {"input_ids": changed}), use_cache=use_cache).logits
        assert not before[:, :first_row].equal(after[:, :first_row])
        assert before[:, first_row:].equal(after[:, first_row:])


def test_negative_control_stock_attention_leaks_across_packed_rows(batch):
    """What the mask of `packed_mask` protects from: without our attention function, rows do see one another."""
    model, (ids, mask) = tiny_qwen3(), batch
    inputs = lay_out(ids, mask, 7, "packed").model_inputs
    changed = inputs["input_ids"].clone()
    changed[0, 0] = (changed[0, 0] + 1) % 50
    first_row = PROMPTS[0] + COMPLETIONS[0]
    before = model(**inputs, use_cache=True).logits[:, first_row:]
    after = model(**(inputs | {"input_ids": changed}), use_cache=True).logits[:, first_row:]
    assert not before.equal(after)


def test_limits_lost_on_the_way_to_attention_are_an_error(model, batch):
    ids, mask = batch
    laid_out = lay_out(ids, mask, 7, "packed")
    inputs = laid_out.model_inputs | packed_mask(model, torch.device("cpu"))
    inputs.pop("cu_seq_lens_q")
    with pytest.raises(RuntimeError):
        score_fused(model, inputs, laid_out.labels)


def test_generation_is_unchanged(batch):
    ids, mask = batch
    model = tiny_qwen3().eval()
    options = {"max_new_tokens": 5, "do_sample": False}
    stock = model.generate(input_ids=ids[:, :5], attention_mask=mask[:, :5], **options)
    use_varlen_attention(model)
    assert model.generate(input_ids=ids[:, :5], attention_mask=mask[:, :5], **options).equal(stock)


def test_flops_are_those_of_the_matrix_products(model, batch):
    """The formula beside PyTorch's own count, which leaves out attention on a CPU."""
    ids, mask = batch[0][:, :9], torch.ones(4, 9, dtype=torch.long)
    laid_out = lay_out(ids, mask, 8, "packed")
    shape, lengths = replace(ModelShape.of(model), attention=0), torch.full((4,), 9)
    scored = torch.tensor([9, 9, 9, 8])  # TRL's head scores every position but the last on a CPU
    with FlopCounterMode(display=False) as counted:
        logps, _ = run(model, laid_out, "packed")
        # The angles of the rotary embedding, which older versions of transformers compute by a matrix product.
        angles = sum(sum(n.values()) for name, n in counted.get_flop_counts().items() if name.endswith("rotary_emb"))
        assert counted.get_total_flops() - angles == shape.flops(lengths, scored).sum()
        logps.sum().backward()
    uncounted = 2 * 2 * scored.sum() * shape.head  # the head adds its two gradients up in place
    assert counted.get_total_flops() - angles + uncounted == shape.flops(lengths, scored, backwards=1).sum()


def test_flops_of_attention(model):
    shape = ModelShape.of(model)
    assert shape.attention == 2 * 4 * 16  # layers × heads × head size
    zero = torch.tensor([0])
    scores = replace(shape, linear=0).flops(torch.tensor([10]), zero, causal=False)
    assert scores.item() == 2 * (2 * 10 * 10) * 2 * 4 * 16  # queries × keys, and weights × values
    assert replace(shape, linear=0).flops(torch.tensor([10]), zero).item() == scores.item() / 2


def test_flops_of_a_model_without_heads_and_of_layers_of_their_own():
    model = tiny_qwen3()
    model.config.per_layer_config = {1: {"head_dim": 64}}
    assert ModelShape.of(model).attention == 4 * 16 + 4 * 64
    mamba = MambaConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, state_size=2)
    assert ModelShape.of(MambaForCausalLM(mamba)).attention == 0
