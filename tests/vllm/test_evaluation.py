"""vLLM as a sampler of evaluations, in the process and behind a server, beside transformers."""

import json
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
import torch

pytest.importorskip("vllm", reason="vLLM has an environment of its own: make test-vllm")

from transformers import AutoModelForCausalLM, AutoTokenizer

from abcgrpo.evaluation.samplers import open_sampler
from abcgrpo.evaluation.sampling import Sampling
from abcgrpo.tasks.countdown import BASE_MODEL, generate
from abcgrpo.tasks.generated import distinct_rows
from tests.vllm.cpu import ENVIRONMENT, environment
from tests.vllm.padded_heads import pad_heads

GREEDY = Sampling(temperature=0.0, max_new_tokens=48)
DRAWN = Sampling(temperature=1.0, max_new_tokens=48)
PROMPTS = [row["problem"] for row in distinct_rows(generate, "test", 256, 1)]
SEEDS = list(range(len(PROMPTS)))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return str(pad_heads(BASE_MODEL, tmp_path_factory.mktemp("base"), 32))


@pytest.fixture(scope="module")
def expected(base):
    return open_sampler("transformers", base, GREEDY).sample(PROMPTS, SEEDS)


def test_padded_heads_are_the_same_function(base):
    tokenizer = AutoTokenizer.from_pretrained(base)
    ids = torch.tensor([tokenizer(prompt)["input_ids"][:10] for prompt in PROMPTS if len(prompt) >= 10])
    models = [AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32) for path in (BASE_MODEL, base)]
    with torch.inference_mode():
        narrow, wide = (model(ids).logits.log_softmax(-1) for model in models)
    assert (narrow - wide).abs().max() < 1e-4
    assert narrow.std() > 0.1


@pytest.fixture(scope="module")
def inside(base):
    """The sampler in this process; it takes the checkpoint's dtype."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield open_sampler("vllm", base, GREEDY)


def test_the_sampler_answers_as_transformers_does(inside, expected):
    assert inside.dtype == "float32"
    answers = inside.sample(PROMPTS, SEEDS)
    assert answers == expected
    assert len({answer.text for answer in answers}) > 100


def test_seeds_repeat(inside):
    inside.sampling = DRAWN
    first, again, other = (inside.sample(PROMPTS[:64], seeds) for seeds in (SEEDS[:64], SEEDS[:64], SEEDS[64:128]))
    inside.sampling = GREEDY
    assert first == again
    assert sum(a != b for a, b in zip(first, other, strict=True)) > 10


@pytest.fixture(scope="module")
def server(base, tmp_path_factory):
    """`vllm serve` on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", base, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--dtype", "float32", "--enforce-eager", "--max-model-len", "128"]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    url = f"http://127.0.0.1:{port}/v1"
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment(), stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 420
        while True:
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            try:
                urllib.request.urlopen(f"{url}/models", timeout=5)
                break
            except OSError:
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_a_server_answers_as_transformers_does(base, server, expected, tmp_path):
    """Through the command line, as a user would."""
    command = [sys.executable, "-m", "abcgrpo", "evaluate", base, "--server", server, "--temperature", "0"]
    command += ["--questions", "64", "--samples", "1", "--output", str(tmp_path / "served")]
    local = [sys.executable, "-m", "abcgrpo", "evaluate", base, "--temperature", "0", "--questions", "64"]
    local += ["--samples", "1", "--output", str(tmp_path / "local")]
    for each in (command, local):
        done = subprocess.run(each, env=environment(), capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
    files = [sorted((tmp_path / name).glob("**/samples*"))[0] for name in ("served", "local")]
    lines = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
    assert [line["text"] for line in lines[0]] == [line["text"] for line in lines[1]]
    answers = open_sampler("server", base, GREEDY, url=server).sample(PROMPTS, SEEDS)
    assert [answer.text for answer in answers] == [answer.text for answer in expected]
