"""vLLM as a sampler of evaluations, in the process and behind a server, beside transformers."""

import json
import subprocess
import sys

import pytest
import torch

pytest.importorskip("vllm", reason="vLLM has an environment of its own: make test-vllm")

from transformers import AutoModelForCausalLM, AutoTokenizer

from abcgrpo.evaluation.samplers import open_sampler
from abcgrpo.evaluation.sampling import Sampling
from abcgrpo.tasks.countdown import BASE_MODEL, generate
from abcgrpo.tasks.generated import distinct_rows
from tests.vllm.cpu import ENVIRONMENT, environment, served
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
    with served(base, tmp_path_factory.mktemp("server") / "log.txt") as url:
        yield f"{url}/v1"


def test_every_sampler_of_the_command_line_answers_alike(base, server, expected, tmp_path):
    samplers = {"served": ("--server", server), "vllm": ("--sampler", "vllm"), "transformers": ()}
    texts = {}
    for name, chosen in samplers.items():
        command = [sys.executable, "-m", "abcgrpo", "evaluate", base, "--temperature", "0", "--questions", "64"]
        command += ["--samples", "1", "--output", str(tmp_path / name), *chosen]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        (file,) = (tmp_path / name).glob("**/samples*")
        texts[name] = [json.loads(line)["text"] for line in file.read_text().splitlines()]
    assert len(texts["transformers"]) == 64
    assert texts["served"] == texts["vllm"] == texts["transformers"]
    (noted,) = (tmp_path / "vllm").glob("**/evaluation.json")
    assert json.loads(noted.read_text())["notes"]["dtype"] == "float32"
    answers = open_sampler("server", base, GREEDY, url=server).sample(PROMPTS, SEEDS)
    assert [answer.text for answer in answers] == [answer.text for answer in expected]
