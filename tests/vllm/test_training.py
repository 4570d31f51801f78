"""vLLM under our trainer on a CPU, colocated and served: the sampler has the trainer's weights, the loss is TRL's."""

import json
import subprocess
import sys
import time

import pytest

pytest.importorskip("vllm", reason="vLLM has an environment of its own: make test-vllm")

from abcgrpo.tasks.countdown import BASE_MODEL
from tests.vllm.cpu import UNPACKED, environment, served
from tests.vllm.padded_heads import pad_heads
from tests.vllm.training import QUESTIONS

DEVELOPMENT = UNPACKED | {"VLLM_SERVER_DEV_MODE": "1"}
"""TRL asks the server for its configuration, and has it load weights."""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return pad_heads(BASE_MODEL, tmp_path_factory.mktemp("base"), 32)


def start(base, output, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.vllm.training", str(base), str(output), json.dumps(options)]
    output.mkdir(parents=True, exist_ok=True)
    log = (output / "log.txt").open("a")
    return subprocess.Popen(command, env=environment(**UNPACKED), stdout=log, stderr=log)


def train(base, output, **options) -> dict:
    process = start(base, output, **options)
    assert process.wait(timeout=900) == 0, (output / "log.txt").read_text()[-3000:]
    return json.loads((output / "result.json").read_text())


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    return train(base, tmp_path_factory.mktemp("trained"))


def test_after_training_the_sampler_answers_as_the_trained_model(trained):
    assert trained["sampler_is_trained"] == QUESTIONS
    assert trained["sampler_is_base"] == trained["trained_is_base"] < QUESTIONS / 2


def test_the_sampler_computes_in_the_trainers_numbers(trained, base, tmp_path):
    """Left to itself vLLM takes bfloat16 for this checkpoint; so it does under TRL's own trainer."""
    assert trained["sampler_dtype"] == "float32"
    stock = train(base, tmp_path, trainer="trl", max_steps=1, vllm_importance_sampling_correction=True)
    first, other = (run["logs"][0]["sampling/sampling_logp_difference/mean"] for run in (trained, stock))
    assert first < 1e-4 < other


def test_without_synchronization_it_answers_as_the_base(base, tmp_path):
    found = train(base, tmp_path, synchronized=False, max_steps=8)
    assert found["sampler_is_base"] == QUESTIONS
    assert found["sampler_is_trained"] == found["trained_is_base"] < QUESTIONS / 2


def test_the_sampler_and_the_trainer_agree_on_log_probs(trained):
    """In float32 the mismatch that is logged is rounding; the correction is near 1."""
    rollouts = [log for log in trained["logs"] if "sampling/sampling_logp_difference/mean" in log]
    assert len(rollouts) == 3
    assert max(log["sampling/sampling_logp_difference/mean"] for log in rollouts) < 1e-4
    assert all(log["sampling/importance_sampling_ratio/mean"] == pytest.approx(1, abs=1e-3) for log in rollouts)


def test_the_loss_under_every_correction_is_trls_own(base, tmp_path):
    """With GRPO's bounds, and a sampler in bfloat16, so that the corrections are not 1."""
    corrected = {"vllm_dtype": "bfloat16", "vllm_importance_sampling_clip_max": 1.05}
    found = train(base, tmp_path, compare_losses=True, rule="grpo", **corrected)["losses"]
    assert len(found) == 4
    for mode, losses in found.items():
        assert losses["ours"] == pytest.approx(losses["trl"], abs=1e-6), mode
        assert losses["largest_correction"] > 1e-3, mode
        assert abs(losses["other_rule"] - losses["trl"]) > 1e-5, mode
    assert len({round(losses["ours"], 6) for losses in found.values()}) == 4


def test_a_killed_run_goes_on(trained, base, tmp_path):
    options = {"save_strategy": "steps", "save_steps": 5, "max_steps": 12}
    process = start(base, tmp_path, **options)
    try:
        deadline = time.monotonic() + 600
        while not (tmp_path / "checkpoint-5").exists() and time.monotonic() < deadline:
            assert process.poll() is None, (tmp_path / "log.txt").read_text()[-3000:]
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    assert not (tmp_path / "result.json").exists()
    found = train(base, tmp_path, resume=True, **options)
    assert [log["step"] for log in found["logs"] if "loss" in log] == list(range(1, 13))
    assert found["sampler_is_trained"] == QUESTIONS > found["sampler_is_base"]
    assert found["weights"] == trained["weights"]


def test_a_server_gets_the_trained_weights(base, tmp_path):
    """TRL's server mode; a file takes the place of NCCL."""
    with served(str(base), tmp_path / "server.txt", "--logprobs-mode", "processed_logprobs", **DEVELOPMENT) as url:
        options = {"vllm_mode": "server", "vllm_server_base_url": url, "max_steps": 8}
        found = train(base, tmp_path / "run", **options)
        assert found["sampler_dtype"] == "float32"
        assert found["sampler_is_trained"] == QUESTIONS
        assert found["sampler_is_base"] == found["trained_is_base"] < QUESTIONS / 2
