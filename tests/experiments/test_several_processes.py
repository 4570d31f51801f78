"""An experiment whose job trains on two processes (gloo), here and on Ray: interrupted at will, the same weights.

Each interruption is of the real command. The two places interrupt it in different ways at different steps, so that
weights that are the same bit for bit are those of a run that nothing interrupted. One process on the same rollouts,
which the job has recorded, is the independent reference.
"""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pyarrow.parquet
import pytest
import torch
from safetensors.torch import load_file

from abcgrpo.tasks import resolve_model
from abcgrpo.training import run
from abcgrpo.training.recipe import read_recipe
from abcgrpo.trl import ABCGRPOTrainer

pytestmark = pytest.mark.slow

STEPS, LONGEST = 40, 24
EXPERIMENT = f"""
model_name_or_path: countdown-base
num_problems: 32
seeds: [0]
arms:
  ABC-GRPO: {{rule: abc_grpo}}
evaluation: {{questions: 2, samples: 2, pass_at_k: [2], max_new_tokens: {LONGEST}}}
resources: {{processes: 2}}
training:
  per_device_train_batch_size: 8
  gradient_accumulation_steps: 2
  num_iterations: 2
  num_generations: 8
  max_completion_length: {LONGEST}
  max_steps: {STEPS}
  optim: sgd
  learning_rate: 0.003
  lr_scheduler_type: constant
  max_grad_norm: 0.5
  loss_type: grpo
  bf16: false
  gradient_checkpointing: false
  dataloader_pin_memory: false
  logging_steps: 1
  save_steps: {STEPS}
  resume_minutes: 0
  log_completions: true
"""
JOB = Path("runs", "two", "arms", "ABC-GRPO", "seed-0")
WITHOUT_IMAGES = """
from abcgrpo.cli import main
from abcgrpo.report import write
write._write_images = lambda *arguments: None
main()
"""
"""The command line; the panels of a report are not drawn as PNG and PDF, which takes as long as the training."""
SECONDS_TO_END = 60
"""After the command was killed, for its jobs to save and end. It takes five where nothing else runs."""


class Command:
    """`abcgrpo run` in a user's directory and in a process group of its own, as a shell starts it."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        (directory / "two.yaml").write_text(EXPERIMENT)
        command = [sys.executable, "-c", WITHOUT_IMAGES, "run", "two.yaml", *options]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        with (directory / "log.txt").open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=directory, env=environment, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )  # fmt: skip

    def until_it_trains(self) -> None:
        """Wait for two new steps: the state after the first of them is saved then."""
        before, deadline = self.steps(), time.monotonic() + 600
        while self.steps() < before + 2:
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert self.trainers()

    def steps(self) -> int:
        metrics = self.directory / JOB / "training" / "metrics.jsonl"
        return metrics.read_text().count('"loss"') if metrics.exists() else 0

    def trainers(self) -> list[psutil.Process]:
        """Launcher and processes of the training, whoever started them."""
        found = [each for each in psutil.process_iter(["cmdline", "cwd"]) if each.info["cwd"] == str(self.directory)]
        return [each for each in found if {"train", str(JOB / "recipe.yaml")} <= set(each.info["cmdline"] or ())]

    def said(self) -> str:
        return (self.directory / "log.txt").read_text()

    def ends(self) -> int:
        return self.process.wait(timeout=600)


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """The job after SIGKILL of every process, and the same command to its end, on this machine."""
    directory = tmp_path_factory.mktemp("here").resolve()
    command = Command(directory)
    command.until_it_trains()
    trainers = command.trainers()
    assert len(trainers) == 3  # with their launcher
    for process in [*psutil.Process(command.process.pid).children(recursive=True), command.process]:
        process.kill()
    command.ends()
    psutil.wait_procs(trainers, timeout=SECONDS_TO_END)
    assert command.steps() < STEPS, "the run is too short to be interrupted"

    last = Command(directory)
    assert last.ends() == 0, last.said()
    return directory / JOB


def weights(training: Path) -> torch.Tensor:
    """All of them in a row."""
    found = load_file(training / f"checkpoint-{STEPS}" / "model.safetensors")
    return torch.cat([found[name].flatten() for name in sorted(found)])


def test_interrupted_it_is_one_run_of_two_processes(here):
    manifest = json.loads((here / "training" / "run.json").read_text())
    assert (manifest["status"], manifest["processes"]) == ("finished", 2)
    assert len(manifest["resumed_after_steps"]) == 1
    lines = map(json.loads, (here / "training" / "metrics.jsonl").read_text().splitlines())
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, STEPS + 1))


def one_process(job: Path, output: Path, monkeypatch, **fields) -> torch.Tensor:
    """The weights that one process comes to from the job's recipe and its recorded rollouts."""
    rollouts = iter(sorted((job / "training" / "completions").glob("*.parquet"))[::2])  # each serves two steps

    def answers(prompts: list[str], trainer: ABCGRPOTrainer) -> dict:
        recorded = pyarrow.parquet.read_table(next(rollouts)).to_pydict()
        assert prompts == recorded["prompt"]
        tokenizer = trainer.processing_class
        ids = [tokenizer(text)["input_ids"] for text in recorded["completion"]]
        ended = [each + [tokenizer.eos_token_id] * (len(each) < LONGEST) for each in ids]
        return {"prompt_ids": tokenizer(prompts)["input_ids"], "completion_ids": ended, "logprobs": None}

    class Replays(ABCGRPOTrainer):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs, rollout_func=answers)

    monkeypatch.setattr(run, "ABCGRPOTrainer", Replays)
    same_batch = {"num_processes": 1, "per_device_train_batch_size": 16, "log_completions": False, "use_cpu": True}
    recipe = read_recipe(job / "recipe.yaml", same_batch | {"output_dir": str(output)} | fields)
    return weights(run.train(recipe))


def test_it_gives_the_weights_of_one_process(here, tmp_path, monkeypatch):
    start = load_file(Path(resolve_model("countdown-base")) / "model.safetensors")
    before = torch.cat([start[name].flatten() for name in sorted(start)])
    two, replayed = weights(here / "training"), partial(one_process, here, monkeypatch=monkeypatch)
    changed = (two - before).norm()
    assert changed > 0.01
    assert (replayed(tmp_path / "one") - two).norm() < 1e-4 * changed
    # Another weighting of the same tokens would be seen.
    assert (replayed(tmp_path / "other", loss_type="dapo") - two).norm() > 1e-2 * changed


def test_on_ray_whatever_ends_the_command_it_gives_the_same_weights(here, tmp_path):
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    directory = tmp_path.resolve()
    steps = [0]
    try:
        on_ray = partial(Command, directory, "--on", f"ray:{cluster.address}")
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)):
            command = on_ray()
            command.until_it_trains()
            command.process.send_signal(number)
            assert command.ends() == code, command.said()
            if number == signal.SIGKILL:  # Ray ends what it began, and the job notices
                psutil.wait_procs(command.trainers(), timeout=SECONDS_TO_END)
            assert not command.trainers()
            manifest = json.loads((directory / JOB / "training" / "run.json").read_text())
            assert manifest["status"] == "interrupted"
            steps.append(manifest["steps"])
            assert steps[-1] > steps[-2]
        assert steps[-1] < STEPS, "the run is too short to be interrupted"
        last = on_ray()
        assert last.ends() == 0, last.said()
    finally:
        cluster.shutdown()
    manifest = json.loads((directory / JOB / "training" / "run.json").read_text())
    assert manifest["resumed_after_steps"] == steps[1:]
    assert (directory / "runs" / "two" / "base" / "log.txt").read_text().count("$ abcgrpo evaluate") == 1
    assert torch.equal(weights(directory / JOB / "training"), weights(here / "training"))
