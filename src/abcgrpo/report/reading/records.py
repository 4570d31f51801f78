"""What runs have left on disk, read into memory."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from abcgrpo.errors import UserError
from abcgrpo.evaluation.store import SAMPLES, SETTINGS, Evaluation, read_evaluation
from abcgrpo.files import read_json
from abcgrpo.report.reading.logs import Series, read_log
from abcgrpo.report.reading.quadrants import with_quadrants
from abcgrpo.run_files import (
    BASE,
    EVALUATION,
    EXPERIMENT,
    HISTORY,
    MANIFEST,
    TOKENS,
    TRAINING,
    checkpoints_in,
    job_directory,
    step_of,
)

DEFAULT_PASS_AT_K = [2, 4, 8, 16, 32, 64]


def arm_label(arm: str, condition: str | None) -> str:
    """What an arm is called where runs of all conditions stand side by side."""
    return arm if condition is None else f"{arm}, {condition}"


@dataclass
class Measured:
    """A finished evaluation, and where its samples are."""

    evaluation: Evaluation
    samples: Path | None
    """None if only scores are known."""


@dataclass
class RunRecord:
    """One training run."""

    arm: str
    seed: int
    metrics: Series
    """What the trainer logged: metric → optimizer step → value."""
    manifest: dict[str, Any] | None = None
    """The content of `run.json`; None if all there is of a run is its log."""
    evaluations: dict[str, dict[int, Measured]] = field(default_factory=dict)
    """Benchmark → step of the checkpoint, ascending."""
    condition: str | None = None
    """None if its experiment has no conditions."""
    tokens: Path | None = None
    """Responses that were recorded token by token, where there are any."""

    @property
    def label(self) -> str:
        """See `arm_label`."""
        return arm_label(self.arm, self.condition)

    @property
    def steps(self) -> int:
        """The last step that was logged."""
        return max((step for series in self.metrics.values() for step in series), default=0)

    def last(self, benchmark: str) -> Measured | None:
        """The evaluation at the run's last step, which was fixed beforehand: never an earlier one in its place."""
        last = self.manifest.get("steps", -1) if self.manifest else 0  # scores without a run have no step
        return self.evaluations.get(benchmark, {}).get(last)


@dataclass
class Records:
    """Everything that a report is made of."""

    title: str
    runs: list[RunRecord] = field(default_factory=list)
    base: dict[str, Measured] = field(default_factory=dict)
    """The base's evaluations by benchmark."""
    pass_at_k: list[int] = field(default_factory=lambda: list(DEFAULT_PASS_AT_K))
    missing: list[str] = field(default_factory=list)
    """What should be there and is not, or was read in part, in words."""
    planned: list[str] = field(default_factory=list)
    """The arms that experiments name, whether there are runs of them or not."""
    conditions: list[str] = field(default_factory=list)
    """The conditions that experiments name, in their order."""
    shares: dict[str, Callable[[Evaluation], np.ndarray]] | None = None
    """What is measured, by name, if that is not Avg@k and Pass@k: each question's value of an evaluation."""
    level: float | None = None
    """The level of Avg@k at which arms are compared; None if a rule chooses it."""
    additions: list[str] = field(default_factory=list)
    """What was changed in an experiment after results existed, in sentences."""

    @property
    def by_arm(self) -> dict[str, list[RunRecord]]:
        """The runs of each arm, under each condition by itself; the arm that others are compared with first."""
        arms: dict[str, list[RunRecord]] = {}
        for run in self.runs:
            arms.setdefault(run.label, []).append(run)
        return arms

    def under(self, condition: str | None) -> dict[str, list[RunRecord]]:
        """The runs of each arm under one condition, by the arm's own name."""
        arms: dict[str, list[RunRecord]] = {}
        for run in self.runs:
            if run.condition == condition:
                arms.setdefault(run.arm, []).append(run)
        return arms

    @property
    def planned_arms(self) -> list[str]:
        """All arms, those without a run too; the first is the baseline."""
        return list(dict.fromkeys([*self.planned, *(run.arm for run in self.runs)]))

    @property
    def all_conditions(self) -> list[str | None]:
        """Those that experiments name, then those of runs beside them; None alone if there are none."""
        return list(dict.fromkeys([*self.conditions, *(run.condition for run in self.runs)])) or [None]

    @property
    def settings(self) -> dict[str, tuple[str, str | None]]:
        """Where arms are compared: each benchmark under each condition, by name."""
        return {
            benchmark if condition is None else f"{benchmark}, {condition}": (benchmark, condition)
            for benchmark in self.benchmarks
            for condition in self.all_conditions
        }

    @property
    def benchmarks(self) -> list[str]:
        """Those that the base or any run was measured on."""
        return list(dict.fromkeys([*self.base, *(name for run in self.runs for name in run.evaluations)]))


def load(directories: Sequence[Path], logs: Sequence[tuple[str, Path]] = ()) -> Records:
    """Read experiments (a directory with `experiment.json`), single runs (one with `run.json`) and training logs.

    Args:
        directories: of experiments and runs.
        logs: an arm's name and a path for `read_log`; a name may come again, for another seed.

    Raises:
        UserError: a directory that is neither, or nothing that can be shown.
    """
    records = Records(title=", ".join([*(path.resolve().name for path in directories), *dict(logs)]))
    for directory in directories:
        if (directory / EXPERIMENT).exists():
            _load_experiment(directory, records)
        elif (directory / MANIFEST).exists():
            _load_run(directory, directory / EVALUATION, records)
        else:
            raise UserError(
                f"{directory} holds no experiment and no run: neither {EXPERIMENT} nor {MANIFEST} is there. "
                f"A training log of another program is given as --log NAME={directory}."
            )
    for name, path in logs:
        _load_log(name, path, records)
    if not records.runs:
        where = ", ".join(str(path) for path in [*directories, *(path for _, path in logs)])
        raise UserError(f"There is no finished run in {where}. {' '.join(records.missing)}")
    repeated = [each for each, count in Counter((run.label, run.seed) for run in records.runs).items() if count > 1]
    if repeated:
        raise UserError(
            f"There are two runs of {repeated[0][0]} with seed {repeated[0][1]}: give them different names."
        )
    return records


def _load_experiment(directory: Path, records: Records) -> None:
    experiment = read_json(directory / EXPERIMENT)
    records.pass_at_k = experiment["evaluation"]["pass_at_k"]
    records.planned += experiment["arms"]
    for path in sorted((directory / BASE / EVALUATION).glob(f"*/*/{SETTINGS}")):
        if found := _evaluation(path.parent, records):
            records.base[path.parent.name] = found
    records.additions += [
        f"Not fixed beforehand: on {each['time'][:10]}, with {each['finished_runs']} runs finished, "
        f"{'; '.join(each['changes'])}."
        for each in experiment.get(HISTORY, [])
    ]
    conditions = list(experiment.get("conditions") or [])
    records.conditions += conditions
    under: list[str | None] = conditions or [None]
    arms: list[str] = list(experiment["arms"])
    for condition, arm in product(under, arms):
        waiting = []
        for seed in experiment["seeds"]:
            job = job_directory(directory, arm, seed, condition)
            if (job / TRAINING / MANIFEST).exists():
                _load_run(job / TRAINING, job / EVALUATION, records, arm, seed, condition)
            else:
                waiting.append(seed)
        if waiting:
            seeds = ", ".join(map(str, waiting))
            name = ", ".join(filter(None, [arm, condition]))
            records.missing.append(f"{name}, seed{'s' * (len(waiting) > 1)} {seeds}: not trained yet.")


def _load_run(
    training: Path,
    evaluations: Path,
    records: Records,
    arm: str | None = None,
    seed: int | None = None,
    condition: str | None = None,
) -> None:
    manifest = read_json(training / MANIFEST)
    name = arm or training.resolve().name
    seed = int(manifest["seeds"]["seed"]) if seed is None else seed
    title = f"{', '.join(filter(None, [name, condition]))}, seed {seed}"
    if manifest["status"] != "finished":
        records.missing.append(f"{title}: {manifest['status']}, {manifest.get('error', 'not finished')}.")
        return
    metrics = _metrics(title, training, records)
    tokens = training / TOKENS if (training / TOKENS).exists() else None
    run = RunRecord(name, seed, metrics, manifest, condition=condition, tokens=tokens)
    for checkpoint in checkpoints_in(evaluations):
        for path in sorted(checkpoint.glob(f"*/{SETTINGS}")):
            if found := _evaluation(path.parent, records):
                run.evaluations.setdefault(path.parent.name, {})[step_of(checkpoint)] = found
    records.missing += [
        f"{title}: not measured on {benchmark} at its last step, {manifest['steps']}."
        for benchmark in run.evaluations
        if not run.last(benchmark)
    ]
    records.runs.append(run)


def _load_log(name: str, path: Path, records: Records) -> None:
    """A run of which only a log is known: seeds are numbered in the order in which logs are given."""
    if (path / MANIFEST).exists():
        _load_run(path, path / EVALUATION, records, name)
        return
    if (path / EXPERIMENT).exists():
        raise UserError(f"{path} holds an experiment: give it without --log and a name.")
    taken = {run.seed for run in records.runs if run.arm == name}
    seed = next(number for number in range(len(taken) + 1) if number not in taken)
    if metrics := _metrics(name, path, records):
        records.runs.append(RunRecord(name, seed, metrics))


def _metrics(name: str, path: Path, records: Records) -> Series:
    try:
        log = read_log(path)
    except UserError as error:
        records.missing.append(f"{name}: {error}")
        return {}
    records.missing += [f"{name}: {problem}" for problem in log.problems]
    return with_quadrants(log.metrics)


def _evaluation(path: Path, records: Records) -> Measured | None:
    try:
        return Measured(read_evaluation(path), path / SAMPLES)
    except UserError as error:
        records.missing.append(str(error))
    except (json.JSONDecodeError, KeyError) as error:
        records.missing.append(f"{path} cannot be read: {type(error).__name__}: {error}.")
    return None
