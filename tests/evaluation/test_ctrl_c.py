"""Ctrl-C during `abcgrpo evaluate`: exit code 130, and the same command ends with the samples of an undisturbed one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SAMPLES = Path("evaluations") / "countdown-base" / "countdown" / "samples.jsonl"
ARGUMENTS = ["countdown-base", "--benchmarks", "countdown", "--questions", "4", "--samples", "128", "--batch-size", "1"]


def evaluate(directory: Path) -> subprocess.Popen:
    """Start an evaluation of 512 answers, each a batch of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "abcgrpo", "evaluate", *ARGUMENTS, "--json"],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets what it starts in the background ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.slow
def test_ctrl_c_loses_no_answer(tmp_path):
    for name in ("interrupted", "undisturbed"):
        (tmp_path / name).mkdir()
    process = evaluate(tmp_path / "interrupted")
    kept = tmp_path / "interrupted" / SAMPLES
    give_up = time.monotonic() + 120
    while len(kept.read_bytes().splitlines() if kept.exists() else []) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Give the same command again" in errors
    assert "Traceback" not in errors
    before = lines(kept)
    assert 3 <= len(before) < 512

    again, undisturbed = evaluate(tmp_path / "interrupted"), evaluate(tmp_path / "undisturbed")
    results = [json.loads(each.communicate(timeout=240)[0]) for each in (again, undisturbed)]
    assert lines(kept)[: len(before)] == before
    assert len(lines(kept)) == 512
    answers = [
        sorted((line["problem"], line["sample"], line["text"]) for line in lines(tmp_path / name / SAMPLES))
        for name in ("interrupted", "undisturbed")
    ]
    assert answers[0] == answers[1]
    models = [each["benchmarks"]["countdown"]["models"]["countdown-base"] for each in results]
    scores = [{name: value for name, value in model.items() if "@" in name} for model in models]
    assert "avg@128" in scores[0]
    assert scores[0] == scores[1]
