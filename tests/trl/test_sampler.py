"""TRL builds its colocated vLLM in the numbers that the configuration says. vLLM itself: tests/vllm."""

import logging
from types import SimpleNamespace

import pytest
import torch
import trl.generation.vllm_generation as generation

from tests.trl.trainers import abc_trainer


class StandIn:
    """What TRL builds and asks of vLLM before training."""

    def __init__(self, **arguments):
        self.arguments = arguments
        dtype = getattr(torch, arguments["dtype"])
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(dtype=dtype))


@pytest.fixture
def vllm(monkeypatch):
    monkeypatch.setattr(generation, "is_vllm_available", lambda: True)
    monkeypatch.setattr(generation, "LLM", StandIn, raising=False)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # TRL sets them; they are put back
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, "float32"), ({"bf16": True}, "bfloat16"), ({"vllm_dtype": "float16"}, "float16")],
    ids=["weights in float32", "autocast", "asked for"],
)
def test_the_sampler_computes_as_the_trainer_or_as_asked(vllm, tmp_path, options, expected):
    trainer = abc_trainer(tmp_path, use_vllm=True, vllm_mode="colocate", **options)
    assert trainer.vllm_generation.llm.arguments["dtype"] == expected
    assert trainer.sampler_dtype == expected
    assert generation.LLM is StandIn


def test_without_vllm_there_is_nothing_to_say(tmp_path):
    assert abc_trainer(tmp_path).sampler_dtype is None


def test_a_server_of_other_numbers_is_told(monkeypatch, tmp_path, caplog):
    configuration = {"model_config": {"dtype": "torch.bfloat16", "logprobs_mode": "processed_logprobs"}}
    client = SimpleNamespace(get_server_info=lambda: configuration, init_communicator=lambda device: None)
    monkeypatch.setattr(generation, "is_vllm_available", lambda: True)
    monkeypatch.setattr(generation, "VLLMClient", lambda **_: client)
    with caplog.at_level(logging.WARNING):
        trainer = abc_trainer(tmp_path, use_vllm=True, vllm_mode="server")
    assert trainer.sampler_dtype == "bfloat16"
    assert "computes in bfloat16, the trainer in float32" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vllm_dtype": "float64"}, "vllm_dtype is one of 'auto', 'bfloat16'"),
        ({"vllm_dtype": "float32"}, "has no effect without use_vllm"),
        ({"vllm_dtype": "float32", "use_vllm": True, "vllm_mode": "server"}, "server takes --dtype"),
    ],
)
def test_what_nothing_would_follow_is_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        abc_trainer(tmp_path, **options)
