"""kill -9 of a real experiment: its processes end with it, and the same command finishes what is left."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

EXPERIMENT = """
model_name_or_path: countdown-base
num_problems: 32
seeds: [0]
arms:
  GRPO: {rule: grpo}
  CISPO: {objective: trl, training: {loss_type: cispo, epsilon_high: 5.0}}
evaluation: {questions: 4, samples: 4, pass_at_k: [2], max_new_tokens: 24}
training:
  per_device_train_batch_size: 16
  steps_per_generation: 2
  num_generations: 8
  max_completion_length: 24
  max_steps: 24
  learning_rate: 1e-4
  loss_type: grpo
  bf16: false
  gradient_checkpointing: false
  dataloader_pin_memory: false
  logging_steps: 1
  save_steps: 24
  resume_minutes: 0
"""


def start(directory) -> subprocess.Popen:
    command = [sys.executable, "-m", "abcgrpo", "run", "small.yaml"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    with (directory / "log.txt").open("a") as log:
        return subprocess.Popen(command, cwd=directory, env=environment, stdout=log, stderr=log)


@pytest.mark.slow
def test_a_killed_experiment_goes_on(tmp_path):
    (tmp_path / "small.yaml").write_text(EXPERIMENT)
    arms = tmp_path / "runs" / "small" / "arms"
    runner = start(tmp_path)
    deadline = time.monotonic() + 1200
    while not any(path.stat().st_size for path in arms.glob("*/seed-0/training/metrics.jsonl")):
        assert runner.poll() is None, (tmp_path / "log.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    children = psutil.Process(runner.pid).children(recursive=True)
    runner.send_signal(signal.SIGKILL)
    assert runner.wait() == -signal.SIGKILL
    assert children
    _, alive = psutil.wait_procs(children, timeout=600)
    assert not alive
    assert not list(arms.glob("*/seed-0/evaluated.json")), "the experiment is too short to be killed"

    assert start(tmp_path).wait(timeout=1800) == 0, (tmp_path / "log.txt").read_text()
    for arm in ("GRPO", "CISPO"):
        directory = arms / arm / "seed-0" / "training"
        assert json.loads((directory / "run.json").read_text())["status"] == "finished"
        lines = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
        assert [line["step"] for line in lines if "loss" in line] == list(range(1, 25))
    resumed = [path for path in arms.glob("*/seed-0/training/run.json") if "resumed_after_steps" in path.read_text()]
    assert resumed, "no run went on from where it was"
    report = json.loads((tmp_path / "runs" / "small" / "report" / "report.json").read_text())
    assert [each["arm"] for each in report["comparisons"] if each["baseline"] == "GRPO"] == ["CISPO"] * 2
    assert report["missing"] == []
