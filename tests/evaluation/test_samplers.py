"""Samplers: the shipped base in this process, vLLM's calls, and a real server."""

import os
import socket
import subprocess
import sys
import time
import types
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import SimpleNamespace

import pytest

from abcgrpo.errors import UserError
from abcgrpo.evaluation.evaluate import evaluate
from abcgrpo.evaluation.options import EvaluationOptions
from abcgrpo.evaluation.samplers import LastSampler, open_sampler
from abcgrpo.evaluation.samplers.local import TransformersSampler
from abcgrpo.evaluation.samplers.server import ServerSampler
from abcgrpo.evaluation.sampling import Sample, Sampling
from abcgrpo.evaluation.store import SAMPLES
from abcgrpo.files import read_json_lines
from abcgrpo.tasks.benchmarks import load_benchmark
from abcgrpo.tasks.countdown import BASE_MODEL
from abcgrpo.tasks.prompts import BARE, prompt_tokens

GREEDY = Sampling(temperature=0, max_new_tokens=48)
QUESTION = "2,3,4:9>"


def test_greedy_answers_do_not_depend_on_the_seed_nor_on_the_batch():
    sampler = TransformersSampler(str(BASE_MODEL), GREEDY)
    alone = sampler.sample([QUESTION], [0])
    assert alone == sampler.sample([QUESTION], [1])
    assert alone[0] == sampler.sample([QUESTION, "10,9,8,7,6:21>"], [0, 0])[0]


def test_drawn_answers_depend_on_the_seed():
    sampler = TransformersSampler(str(BASE_MODEL), Sampling(max_new_tokens=48))
    first, again, other = (sampler.sample([QUESTION] * 8, [seed] * 8) for seed in (0, 0, 1))
    assert first == again != other


def test_a_short_limit_is_reported():
    (answer,) = TransformersSampler(str(BASE_MODEL), Sampling(max_new_tokens=3)).sample([QUESTION], [0])
    assert (answer.tokens, answer.finish_reason) == (3, "length")


def test_a_model_that_cannot_be_loaded(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be loaded"):
        TransformersSampler(str(tmp_path), GREEDY)


def test_a_conversation_needs_a_chat_template():
    sampler = TransformersSampler(str(BASE_MODEL), GREEDY)
    message = [{"role": "user", "content": QUESTION}]
    with pytest.raises(UserError, match="--prompt-form plain"):
        sampler.sample([message], [0])
    sampler.tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert prompt_tokens(sampler.tokenizer, message, "m") == prompt_tokens(sampler.tokenizer, QUESTION, "m")
    assert sampler.sample([message], [0]) == sampler.sample([QUESTION], [0])


def test_unknown_samplers():
    with pytest.raises(UserError, match="Did you mean 'vllm'"):
        open_sampler("vlm", "m", GREEDY)


def test_a_model_is_loaded_once_for_several_benchmarks():
    opened = LastSampler()
    first = opened("server", "m", GREEDY, url="http://localhost/v1")
    assert opened("server", "m", GREEDY, url="http://localhost/v1") is first
    assert opened("server", "other", GREEDY, url="http://localhost/v1") is not first


def test_vllm_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match="vLLM cannot be imported"):
        open_sampler("vllm", str(BASE_MODEL), GREEDY)


def test_what_vllm_is_asked(monkeypatch):
    """A stand-in with vLLM's names: the checkpoint's dtype, every answer with its own seed, no top_k as −1, token ids
    instead of text."""

    class Engine:
        def __init__(self, model, dtype, seed):
            assert dtype == "float32"
            self.model = model

        def get_tokenizer(self):
            from transformers import AutoTokenizer

            return AutoTokenizer.from_pretrained(self.model)

        def generate(self, prompts, settings, use_tqdm):
            assert [len(prompt["prompt_token_ids"]) for prompt in prompts] == [len(QUESTION)] * 2
            assert [each.seed for each in settings] == [5, 6]
            assert {(each.n, each.top_k, each.max_tokens) for each in settings} == {(1, -1, 48)}
            output = SimpleNamespace(text="2+3=5,5+4=9", token_ids=[1] * 12, finish_reason="stop")
            return [SimpleNamespace(outputs=[output])] * 2

    fake = types.ModuleType("vllm")
    fake.__dict__.update(LLM=Engine, SamplingParams=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "vllm", fake)
    answers = open_sampler("vllm", str(BASE_MODEL), GREEDY).sample([QUESTION] * 2, [5, 6])
    assert answers == [Sample("2+3=5,5+4=9", 12, "stop")] * 2


@pytest.mark.gpu
def test_vllm_answers_as_transformers_does():
    pytest.importorskip("vllm")
    answers = open_sampler("vllm", str(BASE_MODEL), GREEDY).sample([QUESTION], [0])
    assert answers == TransformersSampler(str(BASE_MODEL), GREEDY).sample([QUESTION], [0])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """`transformers serve` with the shipped base, on loopback."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    port = free_port()
    code = "from transformers.cli.transformers import main; main()"
    command = [sys.executable, "-c", code, "serve", str(BASE_MODEL), "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("w") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 600
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    server.kill()
                    pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


def test_a_server_answers_as_the_model_does_here(served, tmp_path):
    benchmark = load_benchmark("countdown", questions=4)
    greedy: dict = {"temperature": 0, "max_new_tokens": 48, "samples": 2, "batch_size": 4}
    remote = EvaluationOptions(**greedy, server=served, concurrency=3, timeout=600.0)
    there = evaluate(str(BASE_MODEL), benchmark, remote, tmp_path / "server")
    here = evaluate("countdown-base", benchmark, EvaluationOptions(**greedy), tmp_path / "local")
    texts = [
        sorted((line["problem"], line["sample"], line["text"]) for line in read_json_lines(tmp_path / where / SAMPLES))
        for where in ("server", "local")
    ]
    assert texts[0] == texts[1]
    assert (there.correct == here.correct).all()


def test_what_a_server_refuses_is_said(served):
    refused = ServerSampler(str(BASE_MODEL), Sampling(top_k=5, max_new_tokens=8), served)
    with pytest.raises(UserError, match=r"status 422.*top_k"):
        refused.sample([QUESTION], [0])
    with pytest.raises(UserError, match="status 400"):
        ServerSampler("another", GREEDY, served).sample([QUESTION], [0])


def test_a_server_that_is_not_there():
    nobody = ServerSampler("m", GREEDY, f"http://127.0.0.1:{free_port()}/v1", retries=1)
    with pytest.raises(UserError, match="does not answer"):
        nobody.sample([QUESTION], [0])


@pytest.fixture
def moody():
    """A server that is busy at first, and remembers how many requests were under way at once and what they held."""
    import json

    seen = SimpleNamespace(failures=2, now=0, most=0, bodies=[], lock=Lock(), url="")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with seen.lock:
                seen.now += 1
                seen.most = max(seen.most, seen.now)
                seen.failures -= 1
                busy = seen.failures >= 0
                seen.bodies.append(body)
            time.sleep(0.05)
            with seen.lock:
                seen.now -= 1
            usage = {"prompt_tokens": 1, "completion_tokens": body["seed"], "total_tokens": 1}
            message = {"role": "assistant", "content": "B", "reasoning_content": "A"}
            choice = {"index": 0, "finish_reason": "length", "text": "C", "message": message}
            reply = {"id": "1", "object": "o", "created": 1, "model": "m", "choices": [choice], "usage": usage}
            content = json.dumps({"error": {"message": "busy"}} if busy else reply).encode()
            self.send_response(503 if busy else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    seen.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield seen
    server.shutdown()


def test_requests_are_bounded_repeated_and_answered_in_order(moody):
    sampler = ServerSampler("m", Sampling(0.6, 0.95, 20, 48), moody.url, concurrency=3)
    answers = sampler.sample([QUESTION] * 12, list(range(12)))
    assert [answer.tokens for answer in answers] == list(range(12))
    assert moody.most == 3
    assert len(moody.bodies) == 14
    expected = {"model": "m", "prompt": QUESTION, "temperature": 0.6, "top_p": 0.95, "top_k": 20, "max_tokens": 48}
    assert all({k: v for k, v in body.items() if k != "seed"} == expected for body in moody.bodies)


def test_retries_end(moody):
    moody.failures = 10
    with pytest.raises(UserError, match="status 503"):
        ServerSampler("m", GREEDY, moody.url, retries=1).sample([QUESTION], [0])
    assert len(moody.bodies) == 2


def test_a_conversation_goes_to_chat_and_reasoning_is_kept(moody):
    moody.failures = 0
    message = [{"role": "user", "content": QUESTION}]
    (answer,) = ServerSampler("m", GREEDY, moody.url).sample([message], [7])
    assert answer == Sample("<think>A</think>B", 7, "length")
    (body,) = moody.bodies
    assert body["messages"] == message
    assert "top_p" not in body
    assert "top_k" not in body
    assert "n" not in body
    assert BARE.render(QUESTION) == QUESTION
