"""Twelve rules by their names and one from a user's own file: trained, killed, finished, and drawn."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from abcgrpo.report.content.runs import rule_curves
from abcgrpo.report.reading.records import load

RULES = (
    "open", "grpo", "clip_higher", "dual_clip", "abc_grpo", "gspo", "dppo_tv", "dcpo", "cispo", "topr", "sapo", "bapo",
)  # fmt: skip
MINE = """
from dataclasses import dataclass

from abcgrpo.rules import Rule


@dataclass(frozen=True)
class Halved(Rule):
    share: float = 0.5

    def surrogate(self, tokens):
        return self.share * tokens.ratio * tokens.advantages
"""
EXPERIMENT = """
model_name_or_path: countdown-base
num_problems: 16
arms:
{arms}
  mine: {{rule: {{name: my_rules_of_this_test.Halved, share: 0.25}}}}
evaluation: {{questions: 2, samples: 2, pass_at_k: [2], max_new_tokens: 8}}
training:
  per_device_train_batch_size: 8
  steps_per_generation: 2
  num_generations: 8
  max_completion_length: 8
  max_steps: 2
  loss_type: grpo
  bf16: false
  gradient_checkpointing: false
  dataloader_pin_memory: false
  logging_steps: 1
  save_steps: 2
"""


@pytest.mark.slow
def test_thirteen_rules_survive_a_kill_and_are_drawn(tmp_path) -> None:
    (tmp_path / "my_rules_of_this_test.py").write_text(MINE)
    arms = "\n".join(f"  {name}: {{rule: {name}}}" for name in RULES)
    (tmp_path / "rules.yaml").write_text(EXPERIMENT.format(arms=arms))
    output = tmp_path / "runs" / "rules"

    def start() -> subprocess.Popen:
        command = [sys.executable, "-m", "abcgrpo", "run", "rules.yaml"]
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        with (tmp_path / "log.txt").open("a") as log:
            return subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)

    def finished() -> dict[str, float]:
        return {path.parts[-3]: path.stat().st_mtime for path in output.glob("arms/*/seed-0/evaluated.json")}

    runner = start()
    deadline = time.monotonic() + 900
    while len(finished()) < 3:
        assert runner.poll() is None, (tmp_path / "log.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    before = finished()
    assert len(before) < len(RULES), "the experiment is too short to be killed"

    assert start().wait(timeout=1800) == 0, (tmp_path / "log.txt").read_text()
    after = finished()
    assert {*after} == {*RULES, "mine"}
    assert before.items() <= after.items(), "a finished run was made again"
    for name in RULES:
        run = json.loads((output / "arms" / name / "seed-0" / "training" / "run.json").read_text())
        assert run["rule"]["name"] == name
    report = json.loads((output / "report" / "report.json").read_text())
    assert report["arms"]["mine"]["rule"] == {"name": "my_rules_of_this_test.Halved", "share": 0.25}
    assert report["missing"] == []
    assert [*rule_curves(load([output], []).by_arm)] == [*RULES, "mine"]
    page = (output / "report" / "report.html").read_text()
    assert all(f'"{name}"' in page for name in (*RULES, "mine"))
