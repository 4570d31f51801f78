"""The decoding loop against `transformers`' own, against unpadded rows, and against enumeration."""

import itertools
import logging
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from scipy.stats import chisquare
from transformers import (
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    StoppingCriteria,
)
from transformers.cache_utils import DynamicLayer

from abcgrpo.evaluation.sampling import Sampling
from abcgrpo.generation import decoding, fast_generation
from abcgrpo.generation.cache import RoomyLayer
from tests.trl.models import tiny_qwen3
from tests.trl.trainers import abc_trainer

PAD, EOS = 0, 1


def model_of(vocabulary: int, **changes: Any) -> PreTrainedModel:
    return tiny_qwen3(vocab_size=vocabulary, initializer_range=0.25, **changes).eval()


def padded(prompts: list[list[int]]) -> dict[str, torch.Tensor]:
    width = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (width - len(row)) + row for row in prompts])
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


def options(new: int, **changes: Any) -> GenerationConfig:
    settings = {"do_sample": True, "top_k": 0, "max_new_tokens": new, "pad_token_id": PAD, "eos_token_id": EOS}
    return GenerationConfig(**(settings | changes))


def generate(model: PreTrainedModel, prompts: list[list[int]], config: GenerationConfig, fast: bool, **extra: Any):
    if not fast:
        return model.generate(**padded(prompts), generation_config=config, **extra)
    with fast_generation(model):
        return model.generate(**padded(prompts), generation_config=config, **extra)


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return model_of(12)


prompts_of_any_kind = st.lists(st.lists(st.integers(2, 11), min_size=1, max_size=6), min_size=1, max_size=9)


@given(prompts=prompts_of_any_kind, new=st.integers(1, 20), shortest=st.sampled_from([0, 2]))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_greedy_answers_are_those_of_transformers(model, prompts, new, shortest):
    """Prompts of any lengths, equal ones among them; rows end one after another."""
    config = options(new, do_sample=False, min_new_tokens=min(shortest, new))
    prompts = [*prompts, *prompts[::2]]
    assert generate(model, prompts, config, fast=True).equal(generate(model, prompts, config, fast=False))


@pytest.mark.parametrize("kind", ["gpt2", "qwen3"])
def test_scores_of_drawn_tokens_are_those_of_each_row_alone(kind, monkeypatch):
    """Every row that is still in the batch, at every token, against the plain model on that row without padding."""
    torch.manual_seed(0)
    gpt2 = GPT2Config(n_layer=2, n_head=2, n_embd=16, vocab_size=12, initializer_range=0.3)
    model = GPT2LMHeadModel(gpt2).eval() if kind == "gpt2" else model_of(12)
    seen: list[torch.Tensor] = []
    draw = decoding._drawn

    def drawn(scores, prefix):
        seen.append(scores.log_softmax(-1)[prefix])
        return draw(scores, prefix)

    monkeypatch.setattr(decoding, "_drawn", drawn)
    prompts = [[2, 3, 4], [5], [2, 3, 4], [6, 7, 8, 9, 10], [5]] * 12
    output = generate(model, prompts, options(15, temperature=0.8), fast=True)
    width, checked = max(map(len, prompts)), 0
    lengths = [next((at for at, token in enumerate(row) if token == EOS), 14) + 1 for row in output[:, width:].tolist()]
    assert len(set(lengths)) > 3
    for row, (prompt, length) in enumerate(zip(prompts, lengths, strict=True)):
        whole = torch.cat([torch.tensor(prompt), output[row, width : width + length]])
        with torch.no_grad():
            alone = (model(whole[None]).logits[0] / 0.8).log_softmax(-1)[len(prompt) - 1 : -1]
        for step in range(length):
            place = sum(lengths[other] > step for other in range(row))
            torch.testing.assert_close(seen[step][place], alone[step], atol=1e-5, rtol=0)
            checked += 1
    assert checked == sum(lengths)


@pytest.fixture(scope="module")
def enumeration() -> tuple[PreTrainedModel, dict[tuple[int, ...], float]]:
    """A model of four tokens, and the probability of each of its answers of up to three tokens to [2, 3]."""
    model = model_of(4)
    probabilities = {}
    for answer in itertools.product(range(4), repeat=3):
        ended = answer.index(EOS) + 1 if EOS in answer else 3
        whole = torch.tensor([[2, 3, *answer[:ended]]])
        with torch.no_grad():
            logprobs = (model(whole).logits[0] / 0.7).log_softmax(-1)
        total = sum(logprobs[1 + at, token].item() for at, token in enumerate(answer[:ended]))
        probabilities[(*answer[:ended], *[PAD] * (3 - ended))] = torch.tensor(total).exp().item()
    return model, probabilities


def frequencies(model, probabilities, temperature) -> float:
    """p-value of a χ² test of 20,000 answers in one batch, among rows of another prompt."""
    torch.manual_seed(0)
    prompts = [[2, 3], [3, 2, 2], [2, 3]] * 10_000
    output = generate(model, prompts, options(3, temperature=temperature), fast=True)
    answers = [tuple(row) for row, prompt in zip(output[:, 3:].tolist(), prompts, strict=True) if len(prompt) == 2]
    expected = [20_000 * p for p in probabilities.values()]
    rare = [place for place, count in enumerate(expected) if count < 5]
    counted = [sum(answer == each for answer in answers) for each in probabilities]

    def merged(values: list[float]) -> list[float]:
        return [v for at, v in enumerate(values) if at not in rare] + [sum(values[at] for at in rare)] * bool(rare)

    return chisquare(merged(counted), merged(expected), sum_check=False).pvalue


def test_answers_are_as_frequent_as_they_are_probable(enumeration):
    model, probabilities = enumeration
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert frequencies(model, probabilities, 0.7) > 0.001


def test_negative_control_another_temperature_is_noticed(enumeration):
    assert frequencies(*enumeration, 0.8) < 1e-6


def test_a_seed_repeats(model):
    prompts = [[2, 3], [4], [2, 3], [4]]
    outputs = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        outputs.append(generate(model, prompts, options(20), fast=True))
    assert outputs[0].equal(outputs[1])
    assert not outputs[0].equal(outputs[2])


def test_every_beginning_is_computed_once(model):
    """As many positions as there are different beginnings of answers that have not ended, counted in the answers."""
    sizes: list[tuple[int, ...]] = []
    hook = model.get_input_embeddings().register_forward_hook(lambda _m, inputs, _o: sizes.append(inputs[0].shape))
    torch.manual_seed(0)
    output = generate(model, [[2, 3, 4], [5, 6]] * 40, options(12, temperature=0.5), fast=True).tolist()
    hook.remove()
    different = [
        {tuple(row[: 3 + step]) for row in output if step == 0 or EOS not in row[: 3 + step]}
        for step in range(len(output[0]) - 3)
    ]
    assert sizes == [(2, 3), *((len(each), 1) for each in different[1:])]
    assert 2 < len(different[1]) < len(different[3]) < 80


@given(data=st.data())
@settings(max_examples=100)
def test_prefixes_grow_as_a_dictionary_of_them_does(data):
    """Numbers without gaps, equal exactly where prefix and token are equal; the cache follows by few copies."""
    rows = data.draw(st.integers(1, 12))
    prefix = torch.unique(
        torch.tensor(data.draw(st.lists(st.integers(0, 5), min_size=rows, max_size=rows))), return_inverse=True
    )[1]
    cache = torch.arange(12)  # at each place, the number of the prefix that was there
    left = torch.tensor(sorted(data.draw(st.sets(st.integers(0, rows - 1), min_size=1))))
    prefix = prefix[left]
    tokens = torch.tensor(data.draw(st.lists(st.integers(0, 3), min_size=len(left), max_size=len(left))))
    new, sources, targets, count = decoding._grown(prefix, tokens, 4)
    pairs = list(zip(prefix.tolist(), tokens.tolist(), strict=True))
    assert sorted(set(new.tolist())) == list(range(count)) == list(range(len(set(pairs))))
    assert len(set(zip(pairs, new.tolist(), strict=True))) == count
    assert not set(sources.tolist()) & set(targets.tolist())
    cache[targets] = cache[sources]
    assert cache[new].equal(prefix)
    assert len(sources) <= count - len({each for each in prefix.tolist() if each < count})


class AtFourTokens(StoppingCriteria):
    def __call__(self, input_ids, scores, **kwargs):
        return torch.full((len(input_ids),), input_ids.size(1) >= 6)


def test_what_the_loop_cannot_do_is_left_to_transformers_and_logged(model, caplog):
    decoding._tell.cache_clear()
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    windows = MistralForCausalLM(MistralConfig(vocab_size=12, num_key_value_heads=2, sliding_window=4, **small)).eval()
    prompts, config = [[2, 3], [4, 5]], options(8, do_sample=False)
    with caplog.at_level(logging.INFO, "abcgrpo"):
        assert generate(windows, prompts, config, True).equal(generate(windows, prompts, config, False))
        stopped = generate(model, prompts, config, True, stopping_criteria=[AtFourTokens()])
        penalized = options(8, do_sample=False, repetition_penalty=1.3)
        assert generate(model, prompts, penalized, True).equal(generate(model, prompts, penalized, False))
    assert stopped.size(1) <= 6
    assert "RepetitionPenaltyLogitsProcessor may look at the whole batch" in caplog.text
    assert "MistralForCausalLM keeps more than the keys and values of full attention" in caplog.text
    assert "AtFourTokens may look at the whole batch" in caplog.text


def test_a_model_is_left_as_it_was(model):
    def fails() -> None:
        with fast_generation(model):
            assert "generate" in vars(model)
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fails()
    assert "generate" not in vars(model)


def test_weights_elsewhere_keep_transformers_loop():
    with fast_generation(changed := model_of(12).to("meta")):
        assert "generate" not in vars(changed)


@pytest.mark.parametrize(("how", "calls"), [("fast", 2), ("stock", 0)])
def test_trainers_use_it(tmp_path, monkeypatch, how, calls):
    called = []
    monkeypatch.setattr(decoding, "decode", lambda *a, **k: called.append(1) or _DECODE(*a, **k))
    trainer = abc_trainer(tmp_path, max_steps=2, generation=how)
    trainer.train()
    assert len(called) == calls


def test_with_dropout_answers_share_no_beginning(caplog):
    """TRL samples with the dropout of training, where each answer's draw is its own."""
    decoding._tell.cache_clear()
    adapter = LoraConfig(r=2, lora_dropout=0.5, init_lora_weights=False, target_modules=["q_proj", "v_proj"])
    model = get_peft_model(model_of(12), adapter).get_base_model()
    prompts, config = [[2, 3, 4]] * 4, options(8, do_sample=False)
    with caplog.at_level(logging.INFO, "abcgrpo"):
        torch.manual_seed(0)
        fast = generate(model.train(), prompts, config, True)
    torch.manual_seed(0)
    assert fast.equal(generate(model, prompts, config, False))
    assert len(fast.unique(dim=0)) > 1
    assert "dropout is on, so that answers have nothing in common" in caplog.text
    caplog.clear()
    decoding._tell.cache_clear()
    with caplog.at_level(logging.INFO, "abcgrpo"):
        greedy = generate(model.eval(), prompts, config, True)
    assert len(greedy.unique(dim=0)) == 1
    assert not caplog.text


_DECODE = decoding.decode


def test_evaluation_uses_it(tmp_path, monkeypatch):
    from abcgrpo.evaluation.samplers.local import TransformersSampler
    from abcgrpo.tasks.countdown import BASE_MODEL

    called = []
    monkeypatch.setattr(decoding, "decode", lambda *a, **k: called.append(1) or _DECODE(*a, **k))
    sampler = TransformersSampler(str(BASE_MODEL), Sampling(max_new_tokens=8))
    first = sampler.sample(["5,3,2:6>"] * 4, [0] * 4)
    assert sampler.sample(["5,3,2:6>"] * 4, [0] * 4) == first
    assert called == [1, 1]


@given(data=st.data())
@settings(max_examples=40)
def test_the_cache_holds_what_the_original_holds(data):
    ours, original = RoomyLayer(5), DynamicLayer()
    rows = 3
    for _ in range(data.draw(st.integers(1, 12))):
        tokens = data.draw(st.sampled_from([1, 1, 2, 40]))
        states = torch.randn(rows, 2, tokens, 4)
        for mine, its in zip(ours.update(states, states + 1), original.update(states, states + 1), strict=True):
            assert mine.equal(its)
        if data.draw(st.booleans()):
            count = data.draw(st.integers(1, 5))
            staying = data.draw(st.sets(st.integers(0, min(rows, count) - 1), min_size=1))
            targets = sorted({*range(count)} - staying)
            sources = [data.draw(st.sampled_from(sorted({*range(rows)} - {*targets}))) for _ in targets]
            chosen = torch.arange(count)
            chosen[targets] = torch.tensor(sources, dtype=torch.long)
            ours.move(torch.tensor(sources, dtype=torch.long), torch.tensor(targets, dtype=torch.long), count)
            original.batch_select_indices(chosen)
            rows = count
            assert ours.keys.equal(original.keys)
            assert ours.values.equal(original.values)
        assert ours.get_seq_length() == original.get_seq_length()
