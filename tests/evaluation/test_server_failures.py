"""A server that fails in every way that servers do: nothing is lost, and the run goes on or says why it cannot."""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import SimpleNamespace

import pytest

from abcgrpo.errors import UserError
from abcgrpo.evaluation.evaluate import evaluate
from abcgrpo.evaluation.options import EvaluationOptions
from abcgrpo.evaluation.samplers import server as module
from abcgrpo.evaluation.samplers.server import ServerSampler
from abcgrpo.evaluation.sampling import Sample, Sampling
from abcgrpo.evaluation.store import SAMPLES, SETTINGS
from abcgrpo.files import read_json, read_json_lines
from abcgrpo.tasks.benchmarks import load_benchmark

SAMPLING = Sampling(temperature=1.0, max_new_tokens=48)
EVALUATION: dict = {"max_new_tokens": 48, "samples": 2, "batch_size": 6}
USAGE = {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
CHOICE = {"index": 0, "finish_reason": "stop", "text": "A", "message": {"role": "assistant", "content": "A"}}


def reply(**changes) -> bytes:
    whole = {"id": "1", "object": "o", "created": 1, "model": "m", "choices": [CHOICE], "usage": USAGE}
    return json.dumps({name: value for name, value in (whole | changes).items() if value is not ...}).encode()


def choice_without(name: str) -> bytes:
    return reply(choices=[{key: value for key, value in CHOICE.items() if key != name}])


JSON, HTML = "application/json", "text/html"
BAD = {
    "truncated JSON": (200, JSON, reply()[:60]),
    "HTML": (200, HTML, b"<html><body>502 Bad Gateway</body></html>"),
    "HTML that is called JSON": (200, JSON, b"<html></html>"),
    "nothing": (200, JSON, b""),
    "null": (200, JSON, b"null"),
    "a list": (200, JSON, b"[]"),
    "bytes that are no text": (200, JSON, b"\xff\xfe{"),
    "no choices": (200, JSON, reply(choices=[])),
    "choices that are null": (200, JSON, reply(choices=None)),
    "choices left out": (200, JSON, reply(choices=...)),
    "a choice that is null": (200, JSON, reply(choices=[None])),
    "a choice without message and text": (200, JSON, reply(choices=[{"index": 0, "finish_reason": "stop"}])),
    "a message that is null": (200, JSON, reply(choices=[CHOICE | {"message": None, "text": None}])),
    "a message that is text": (200, JSON, reply(choices=[CHOICE | {"message": "A", "text": 7}])),
    "no usage": (200, JSON, reply(usage=...)),
    "usage without completion_tokens": (200, JSON, reply(usage={})),
    "status 500": (500, JSON, b"{}"),
    "status 503 with HTML": (503, HTML, b"<html>"),
    "status 429": (429, JSON, b"{}"),
    "a broken connection": None,
    "a reply that breaks off": "cut",
    "no reply in time": "hang",
    "a reply that trickles": "trickle",
}


SLOW = ("hang", "trickle")


def limit(failure) -> float:
    """Seconds for one try: short where the limit is what is tested, and else too long for a busy machine to meet."""
    return 1.0 if failure in SLOW else 60.0


@pytest.fixture
def broken(monkeypatch):
    """A server whose answers are those of `behave(number of the request, body)`; what it gives is one of `BAD`."""
    monkeypatch.setattr(module, "FIRST_WAIT", 0.001)
    seen = SimpleNamespace(requests=0, lock=Lock(), url="", behave=lambda number, body: (200, JSON, reply()))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with seen.lock:
                seen.requests += 1
                number = seen.requests
            found = seen.behave(number, body)
            if found is None:
                self.connection.close()
                return
            if found == "hang":
                time.sleep(3.0)
                found = (200, JSON, reply())
            cut, trickle = found == "cut", found == "trickle"
            status, kind, content = (200, JSON, reply()) if cut or trickle else found
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            try:
                if trickle:
                    for byte in content[:8]:
                        self.wfile.write(bytes([byte]))
                        self.wfile.flush()
                        time.sleep(0.3)
                else:
                    self.wfile.write(content[:30] if cut else content)
            except OSError:  # the client gave up
                pass

        def log_message(self, *_):
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """A connection that this server broke on purpose."""

    server = Quiet(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    seen.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield seen
    server.shutdown()


@pytest.mark.parametrize("prompt", ["text", [{"role": "user", "content": "chat"}]], ids=["text", "chat"])
@pytest.mark.parametrize("failure", BAD.values(), ids=BAD)
def test_what_passes_is_tried_again(broken, failure, prompt):
    """The first two tries of five requests fail; all are answered in the end."""
    broken.behave = lambda number, body: failure if number <= 2 else (200, JSON, reply())
    sampler = ServerSampler("m", SAMPLING, broken.url, retries=3, timeout=limit(failure))
    assert sampler.sample([prompt] * 5, range(5)) == [Sample("A", 3, "stop")] * 5
    assert broken.requests >= 7 if failure in SLOW else broken.requests == 7


@pytest.mark.parametrize("failure", BAD.values(), ids=BAD)
def test_what_does_not_pass_is_said_and_the_answers_so_far_are_kept(broken, failure, tmp_path):
    """Of 3 problems × 2 samples in one batch one answer never comes. The five others are kept; the run then goes on."""
    benchmark = load_benchmark("countdown", questions=3)
    options = EvaluationOptions(**EVALUATION, server=broken.url, retries=1, timeout=limit(failure), concurrency=2)
    refused = []

    def one_never(number, body):
        if not refused and number == 5:
            refused.append(body["seed"])
        return failure if body["seed"] in refused else (200, JSON, reply())

    broken.behave = one_never
    with pytest.raises(UserError, match=r"127\.0\.0\.1.*2 tries"):
        evaluate("m", benchmark, options, tmp_path)
    kept = list(read_json_lines(tmp_path / SAMPLES))
    assert 4 <= len(kept) <= 5
    assert refused[0] not in [line["seed"] for line in kept]
    before = broken.requests
    broken.behave = lambda number, body: (200, JSON, reply())
    finished = evaluate("m", benchmark, options, tmp_path)
    assert broken.requests - before == 6 - len(kept)
    lines = list(read_json_lines(tmp_path / SAMPLES))
    assert lines[: len(kept)] == kept
    assert len({line["seed"] for line in lines}) == 6
    assert finished.right.shape == (3, 2)


def test_a_refusal_ends_at_once_and_keeps_what_came(broken, tmp_path):
    benchmark = load_benchmark("countdown", questions=3)
    options = EvaluationOptions(**EVALUATION, server=broken.url, retries=9, concurrency=1)
    broken.behave = lambda number, body: (200, JSON, reply()) if number < 4 else (400, JSON, b'{"error": "too long"}')
    with pytest.raises(UserError, match=r"status 400.*too long"):
        evaluate("m", benchmark, options, tmp_path)
    assert broken.requests == 4  # no retry, and no further request
    assert len(list(read_json_lines(tmp_path / SAMPLES))) == 3


def test_the_limit_of_a_try_is_said(broken):
    broken.behave = lambda number, body: "hang"
    with pytest.raises(UserError, match=r"within 0 seconds.*--timeout SECONDS.*1 try"):
        ServerSampler("m", SAMPLING, broken.url, retries=0, timeout=0.2).sample(["q"], [0])


def test_the_limit_grows_with_the_length_of_answers():
    assert ServerSampler("m", SAMPLING, "http://localhost/v1").timeout == 600
    assert ServerSampler("m", Sampling(max_new_tokens=32768), "http://localhost/v1").timeout == 8192


def test_an_evaluation_that_failed_before_its_first_sample_goes_on_with_other_settings(broken, tmp_path):
    """As the message of the failure advises: the server refuses top_k, so it is left out."""
    benchmark = load_benchmark("countdown", questions=2)
    broken.behave = lambda number, body: (422, JSON, b"{}") if "top_k" in body else (200, JSON, reply())
    first = EvaluationOptions(samples=1, max_new_tokens=8, top_k=5, server=broken.url)
    with pytest.raises(UserError, match="status 422"):
        evaluate("m", benchmark, first, tmp_path)
    assert read_json(tmp_path / SETTINGS)["sampling"]["top_k"] == 5
    evaluate("m", benchmark, first.model_copy(update={"top_k": None}), tmp_path)
    assert read_json(tmp_path / SETTINGS)["sampling"]["top_k"] == 0
    with pytest.raises(UserError, match="other settings"):
        evaluate("m", benchmark, first, tmp_path)
