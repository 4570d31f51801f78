"""Checkpoints of adapters are measured as base + adapter: against weights merged by hand, and wherever the base is."""

import json
import shutil
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from abcgrpo.errors import UserError
from abcgrpo.evaluation.adapters import base_of, load_with_adapter, tokenizer_place, whole_model
from abcgrpo.evaluation.evaluate import evaluate, fingerprint
from abcgrpo.evaluation.models import named_models
from abcgrpo.evaluation.options import EvaluationOptions
from abcgrpo.evaluation.samplers import open_sampler
from abcgrpo.evaluation.samplers.local import TransformersSampler
from abcgrpo.evaluation.sampling import Sampling
from abcgrpo.evaluation.store import SAMPLES
from abcgrpo.tasks import resolve_model
from abcgrpo.tasks.benchmarks import load_benchmark
from abcgrpo.tasks.countdown import BASE_MODEL
from tests.trl.models import tiny_qwen3

GREEDY = Sampling(temperature=0, max_new_tokens=24)
QUESTION = "2,3,4:9>"
RANK, ALPHA = 3, 12
KINDS = {
    "LoRA": {},
    "rank-stabilized": {"use_rslora": True},
    "DoRA": {"use_dora": True},
    "a trained head": {"modules_to_save": ["lm_head"]},
}


def adapter_in(directory: Path, base: Path = BASE_MODEL, **settings) -> Path:
    """An adapter with random weights, as the trainer leaves it: with a tokenizer, without a model."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base)
    named = {"r": RANK, "lora_alpha": ALPHA, "target_modules": ["q_proj", "down_proj"], "init_lora_weights": False}
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **named | settings))
    for name, weight in adapted.named_parameters():
        if "modules_to_save" in name:
            weight.data += 0.5 * torch.randn_like(weight)
    adapted.save_pretrained(directory)
    AutoTokenizer.from_pretrained(base).save_pretrained(directory)
    return directory


def record_base(adapter: Path, base: str | None) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": base}))


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model.eval()(input_ids=torch.arange(3, 15)[None]).logits


def test_an_adapter_is_the_base_plus_its_matrices(tmp_path):
    """W + (α ÷ r)·B·A, by hand."""
    adapter = adapter_in(tmp_path / "adapter")
    matrices = load_file(adapter / "adapter_model.safetensors")
    by_hand = AutoModelForCausalLM.from_pretrained(BASE_MODEL)
    before = logits(by_hand)
    for name, module in by_hand.named_modules():
        if f"base_model.model.{name}.lora_A.weight" in matrices:
            a, b = (matrices[f"base_model.model.{name}.lora_{each}.weight"] for each in "AB")
            module.weight.data += ALPHA / RANK * b @ a
    found = logits(load_with_adapter(adapter))
    assert torch.allclose(found, logits(by_hand), atol=1e-4)
    assert not torch.allclose(found, before, atol=0.1)


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_merged_for_vllm_it_is_the_same_function(tmp_path, settings):
    adapter = adapter_in(tmp_path / "adapter", **settings)
    with whole_model(str(adapter)) as directory:
        merged = AutoModelForCausalLM.from_pretrained(directory)
        assert merged.dtype == torch.float32
        assert not (Path(directory) / "adapter_config.json").exists()
        assert AutoTokenizer.from_pretrained(directory)(QUESTION).input_ids
    assert not Path(directory).exists()
    wanted = logits(load_with_adapter(adapter))
    assert torch.allclose(logits(merged), wanted, atol=1e-4)
    assert not torch.allclose(wanted, logits(AutoModelForCausalLM.from_pretrained(BASE_MODEL)), atol=0.1)


def test_vllm_is_given_the_merged_model(tmp_path, monkeypatch):
    given = []

    class Engine:
        def __init__(self, model, dtype, seed):
            given.append((model, dtype, (Path(model) / "model.safetensors").is_file()))

        def get_tokenizer(self):
            return AutoTokenizer.from_pretrained(given[0][0])

    fake = types.ModuleType("vllm")
    fake.__dict__.update(LLM=Engine, SamplingParams=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "vllm", fake)
    open_sampler("vllm", str(adapter_in(tmp_path / "adapter")), GREEDY)
    assert given[0][1:] == ("float32", True)
    assert not Path(given[0][0]).exists()


def test_the_sampler_draws_from_base_and_adapter(tmp_path):
    adapter = adapter_in(tmp_path / "adapter")
    sampler = TransformersSampler(str(adapter), GREEDY)
    assert sampler.dtype == "float32"
    with whole_model(str(adapter)) as directory:
        (wanted,) = TransformersSampler(directory, GREEDY).sample([QUESTION], [0])
    assert sampler.sample([QUESTION], [0]) == [wanted]
    assert TransformersSampler(str(BASE_MODEL), GREEDY).sample([QUESTION], [0]) != [wanted]


def test_a_base_of_fewer_bits_is_held_as_the_trainer_held_it(tmp_path):
    """TRL loads a base in float32, and so are the adapter's weights."""
    half = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.bfloat16).save_pretrained(half)
    AutoTokenizer.from_pretrained(BASE_MODEL).save_pretrained(half)
    adapter = adapter_in(tmp_path / "adapter", half)
    assert AutoModelForCausalLM.from_pretrained(half).dtype == torch.bfloat16
    assert load_with_adapter(adapter).dtype == torch.float32


# -- names and places --------------------------------------------------------------------------------------------------


def test_the_base_of_another_installation_is_found_in_this_one(tmp_path):
    adapter = adapter_in(tmp_path / "adapter")
    record_base(adapter, f"/elsewhere/site-packages/{Path(*BASE_MODEL.parts[-4:])}")
    assert base_of(adapter) == str(BASE_MODEL)
    record_base(adapter, "countdown-base")
    assert base_of(adapter) == str(BASE_MODEL)


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        (
            "/elsewhere/model",
            r"adapter of the base /elsewhere/model, which is not here.*base_model_name_or_path of .*json",
        ),
        (None, r"names no base.*base_model_name_or_path"),
    ],
)
def test_a_base_that_is_not_here(tmp_path, recorded, message):
    adapter = adapter_in(tmp_path / "adapter")
    record_base(adapter, recorded)
    with pytest.raises(UserError, match=message):
        TransformersSampler(str(adapter), GREEDY)


def test_weights_that_are_not_there_or_of_another_base(tmp_path):
    adapter = adapter_in(tmp_path / "adapter")
    tiny_qwen3().save_pretrained(tmp_path / "other")
    record_base(adapter, str(tmp_path / "other"))
    with pytest.raises(UserError, match="does not fit its base"):
        load_with_adapter(adapter)
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"adapter_model\.safetensors"):
        load_with_adapter(adapter)


def test_an_adapter_that_does_more_than_change_weights_is_refused(tmp_path):
    model = AutoModelForCausalLM.from_pretrained(BASE_MODEL)
    get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"PROMPT_TUNING.*more than change weights"):
        load_with_adapter(tmp_path)


def test_the_tokenizer_is_the_bases_where_the_adapter_has_none(tmp_path):
    adapter = adapter_in(tmp_path / "adapter")
    assert tokenizer_place(str(adapter)) == str(adapter)
    (adapter / "tokenizer_config.json").unlink()
    assert tokenizer_place(str(adapter)) == str(BASE_MODEL)


def test_the_fingerprint_is_that_of_both_wherever_the_base_is(tmp_path):
    base = tmp_path / "base"
    shutil.copytree(BASE_MODEL, base)
    adapter = adapter_in(tmp_path / "adapter", base)
    known = fingerprint(str(adapter))
    record_base(adapter, str(BASE_MODEL))
    assert fingerprint(str(adapter)) == known
    record_base(adapter, str(base))
    config = json.loads((base / "generation_config.json").read_text())
    (base / "generation_config.json").write_text(json.dumps(config | {"max_length": 7}))
    assert fingerprint(str(adapter)) != known
    (base / "generation_config.json").write_bytes((BASE_MODEL / "generation_config.json").read_bytes())
    assert fingerprint(str(adapter)) == known
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": ALPHA + 1}))
    assert fingerprint(str(adapter)) != known


def test_an_adapter_with_checkpoints_beside_it_is_a_model(tmp_path):
    adapter = adapter_in(tmp_path / "run")
    adapter_in(tmp_path / "run" / "checkpoint-4")
    assert [each.label for each in named_models([str(adapter)])] == ["run"]
    assert [each.label for each in named_models([str(adapter)], "all")] == ["run/checkpoint-4"]


def test_an_adapter_is_not_trained_from(tmp_path):
    with pytest.raises(UserError, match="is an adapter, which can be evaluated but not trained from"):
        resolve_model(str(adapter_in(tmp_path / "adapter")))


def test_an_evaluation_goes_on_when_the_base_has_moved(tmp_path):
    base = tmp_path / "base"
    shutil.copytree(BASE_MODEL, base)
    adapter = adapter_in(tmp_path / "adapter", base)
    benchmark = load_benchmark("countdown", None, 3)
    options = EvaluationOptions(max_new_tokens=16, samples=2)
    evaluate(str(adapter), benchmark, options, tmp_path / "samples")
    drawn = (tmp_path / "samples" / SAMPLES).read_bytes()
    shutil.move(base, tmp_path / "moved")
    with pytest.raises(UserError, match="which is not here"):
        evaluate(str(adapter), benchmark, options, tmp_path / "samples")
    record_base(adapter, str(tmp_path / "moved"))
    evaluate(str(adapter), benchmark, options, tmp_path / "samples")
    assert (tmp_path / "samples" / SAMPLES).read_bytes() == drawn
