"""What runs and experiments leave on disk, by name: those who write it and those who read it agree here."""

from pathlib import Path

EXPERIMENT = "experiment.json"
"""What an experiment runs; at the top of its directory."""
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

ZERO_VARIANCE = "frac_reward_zero_std"
"""In `METRICS`, by TRL's name: the share of groups whose answers have all the same reward."""


def job_directory(experiment: Path, arm: str, seed: int, condition: str | None = None) -> Path:
    """Where the run of an arm with a seed is, in the directory of its experiment."""
    top = experiment if condition is None else experiment / CONDITIONS / condition
    return top / ARMS / arm / f"seed-{seed}"
