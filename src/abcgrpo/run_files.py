"""What runs and experiments leave on disk, by name: those who write it and those who read it agree here.

Also when two records of settings are those of the same run.
"""

import json
from pathlib import Path
from typing import Any

from abcgrpo.files import plain

EXPERIMENT = "experiment.json"
"""What an experiment runs; at the top of its directory."""
GRADED_WITH = "graded_with"
"""Key of `EXPERIMENT`, and of an evaluation's notes: which code graded, see `Task.graded_with`."""
HISTORY = "history"
"""Key of `EXPERIMENT`; the changes that were made after results existed, a list of `{time, finished_runs, changes}`."""
BASE = "base"
"""The directory of the base's evaluation, and the base's name in tables."""
CONDITIONS = "conditions"
"""Holds `<condition>/arms/` where an experiment has conditions; without them `arms/` is at the top."""
ARMS = "arms"
"""Holds `<arm>/seed-<n>/`, each with the directories `TRAINING` and `EVALUATION`."""
TRAINING = "training"
EVALUATION = "evaluation"
EVALUATED = "evaluated.json"
"""In a job's directory: which models have all their samples."""
PROGRESS = "progress.json"
"""How far the current command of a job is; at the top of an experiment, how long all of them will still take."""
MANIFEST = "run.json"
"""What a training run ran with, and how it ended."""
METRICS = "metrics.jsonl"
"""What the trainer logged: one line per logging step."""
ADAPTER_CONFIG = "adapter_config.json"
"""In the checkpoint of an adapter, by PEFT's name: what it is, and of which base."""
TOKENS = "tokens.jsonl"
"""Responses token by token, a few of each logged step; `abcgrpo.trl.token_record` says what a line holds."""

ZERO_VARIANCE = "frac_reward_zero_std"
"""In `METRICS`, by TRL's name: the share of groups whose answers have all the same reward."""


def job_directory(experiment: Path, arm: str, seed: int, condition: str | None = None) -> Path:
    """Where the run of an arm with a seed is, in the directory of its experiment."""
    top = experiment if condition is None else experiment / CONDITIONS / condition
    return top / ARMS / arm / f"seed-{seed}"


def checkpoint_name(step: int) -> str:
    """What the checkpoint after an optimizer step is called, in a run's directory and in its evaluation's."""
    return f"checkpoint-{step}"


def step_of(checkpoint: Path) -> int:
    """The optimizer step that a directory called `checkpoint-<step>` belongs to."""
    return int(checkpoint.name.rpartition("-")[2])


def checkpoints_in(directory: Path) -> list[Path]:
    """The directories called `checkpoint-<step>`, in the order of their steps."""
    named = [path for path in directory.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    return sorted(named, key=step_of)


def differences(known: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """The settings in which an existing run differs from the wanted one, each as "name was A, is B".

    Both are compared as JSON has them; a setting that one of them lacks is None there. An empty list: the same run.
    """
    present = json.loads(json.dumps(plain(wanted), default=str))
    names = sorted(name for name in {*known, *present} if known.get(name) != present.get(name))
    return [f"{name} was {known.get(name)!r}, is {present.get(name)!r}" for name in names]
