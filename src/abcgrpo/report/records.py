"""What runs have left on disk, read into memory."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.evaluation.store import SETTINGS, Evaluation, read_evaluation
from abcgrpo.files import read_json, read_json_lines

BASE = "base"
DEFAULT_PASS_AT_K = [2, 4, 8, 16, 32, 64]


@dataclass
class RunRecord:
    """One training run."""

    arm: str
    seed: int
    manifest: dict[str, Any]
    metrics: list[dict[str, Any]]
    """What the trainer logged, a mapping per logging step; `step` counts optimizer steps."""
    evaluations: dict[int, Evaluation]
    """By the step of the checkpoint."""


@dataclass
class Records:
    """Everything that a report is made of."""

    title: str
    runs: list[RunRecord] = field(default_factory=list)
    base: Evaluation | None = None
    pass_at_k: list[int] = field(default_factory=lambda: list(DEFAULT_PASS_AT_K))
    missing: list[str] = field(default_factory=list)
    """What should be there and is not, in words."""

    @property
    def arms(self) -> list[str]:
        """Names of the arms, the one that others are compared with first."""
        return list(dict.fromkeys(run.arm for run in self.runs))


def load(directories: list[Path]) -> Records:
    """Read experiments (a directory with `experiment.json`) and single runs (one with `run.json`).

    Raises:
        UserError: a directory that is neither, or that holds no finished run.
    """
    records = Records(title=", ".join(path.resolve().name for path in directories))
    for directory in directories:
        if (directory / "experiment.json").exists():
            _load_experiment(directory, records)
        elif (directory / "run.json").exists():
            _load_run(directory, directory / "evaluation", records)
        else:
            raise UserError(
                f"{directory} holds no experiment and no run: neither experiment.json nor run.json is there."
            )
    if not records.runs:
        raise UserError(f"There is no finished run in {', '.join(map(str, directories))}. {' '.join(records.missing)}")
    return records


def _load_experiment(directory: Path, records: Records) -> None:
    experiment = read_json(directory / "experiment.json")
    records.pass_at_k = experiment["evaluation"]["pass_at_k"]
    for path in sorted((directory / BASE / "evaluation").glob(f"*/*/{SETTINGS}")):
        records.base = _evaluation(path.parent, records)
    for arm in experiment["arms"]:
        for seed in experiment["seeds"]:
            job = directory / "arms" / arm / f"seed-{seed}"
            if (job / "training" / "run.json").exists():
                _load_run(job / "training", job / "evaluation", records, arm, seed)
            else:
                records.missing.append(f"{arm}, seed {seed}: not trained yet.")


def _load_run(
    training: Path, evaluations: Path, records: Records, arm: str | None = None, seed: int | None = None
) -> None:
    manifest = read_json(training / "run.json")
    name = arm or training.resolve().name
    seed = int(manifest["recipe"].get("seed", 42)) if seed is None else seed  # 42 is TRL's default
    if manifest["status"] != "finished":
        records.missing.append(f"{name}, seed {seed}: {manifest['status']}, {manifest.get('error', 'not finished')}.")
        return
    measured = {
        int(path.parts[-3].rpartition("-")[2]): found
        for path in sorted(evaluations.glob(f"checkpoint-*/*/{SETTINGS}"))
        if (found := _evaluation(path.parent, records))
    }
    metrics = list(read_json_lines(training / "metrics.jsonl"))
    records.runs.append(RunRecord(name, seed, manifest, metrics, dict(sorted(measured.items()))))


def _evaluation(path: Path, records: Records) -> Evaluation | None:
    try:
        return read_evaluation(path)
    except UserError as error:
        records.missing.append(str(error))
        return None
