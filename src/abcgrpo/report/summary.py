"""From records to the figures of the report: the content of `report.json`, which tables and pages only lay out."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from abcgrpo.evaluation.intervals import of_differences, over_questions
from abcgrpo.evaluation.metrics import average, pass_at_k
from abcgrpo.evaluation.store import Evaluation
from abcgrpo.report.records import BASE, Records, RunRecord

QUADRANTS = ("q1", "q2", "q3", "q4")


def summarize(records: Records) -> dict[str, Any]:
    """Everything that the report says.

    - `arms.<name>`: `evaluation` (by metric: value, low, high, at the last checkpoint), `entropy.final`,
      `reward.final`, `clip_share.q1` … `q4` (mean over the steps that have events), `zero_variance_fraction.mean`.
    - `base.evaluation`: the same of the base.
    - `differences`: each arm minus the base, and each minus the first arm, question by question.
    - `entropy_ratio`: final entropy of each arm over the first arm's.
    - `series`: what the panels draw.
    - `notes`: what a reader must know, `missing`: what should be there and is not.
    """
    by_arm = {arm: [run for run in records.runs if run.arm == arm] for arm in records.arms}
    metrics = _metrics(records.pass_at_k)
    arms = {arm: _arm(runs, metrics) for arm, runs in by_arm.items()}
    return {
        "title": records.title,
        "pass_at_k": records.pass_at_k,
        "base": {"evaluation": _evaluation([records.base], metrics)} if records.base else None,
        "arms": arms,
        "differences": _differences(records, by_arm, metrics),
        "entropy_ratio": _entropy_ratio(arms),
        "series": {arm: _series(runs, metrics, records.base) for arm, runs in by_arm.items()},
        "notes": _notes(records, by_arm),
        "missing": records.missing,
    }


def _metrics(ks: list[int]) -> dict[str, Callable[[Evaluation], np.ndarray]]:
    """Each column of the table: its value for every question of an evaluation."""

    def passes(k: int) -> Callable[[Evaluation], np.ndarray]:
        return lambda evaluation: pass_at_k(evaluation.correct, evaluation.samples, k)

    averages = {f"avg@{max(ks)}": lambda evaluation: average(evaluation.correct, evaluation.samples)}
    return averages | {f"pass@{k}": passes(k) for k in ks}


def _over_seeds(evaluations: list[Evaluation], metric: Callable[[Evaluation], np.ndarray]) -> np.ndarray:
    """Each question's value, averaged over the runs."""
    return np.mean([metric(evaluation) for evaluation in evaluations], axis=0)


def _evaluation(evaluations: list[Evaluation], metrics: dict) -> dict[str, Any] | None:
    if not evaluations:
        return None
    return {name: over_questions(_over_seeds(evaluations, metric))._asdict() for name, metric in metrics.items()}


def _last(runs: list[RunRecord]) -> list[Evaluation]:
    """Each run's evaluation at its last step."""
    return [run.evaluations[max(run.evaluations)] for run in runs if run.evaluations]


def _arm(runs: list[RunRecord], metrics: dict) -> dict[str, Any]:
    recipe = runs[0].manifest["recipe"]
    shares = {q: _nan_mean(_mean(run.metrics, f"clip_share/{q}") for run in runs) for q in QUADRANTS}
    return {
        "seeds": [run.seed for run in runs],
        "steps": max(run.manifest["steps"] for run in runs),
        "boundaries": {name: value for name, value in recipe.items() if name.startswith("eps_")},
        "evaluation": _evaluation(_last(runs), metrics),
        "entropy": {"final": _nan_mean(_final(run.metrics, "entropy") for run in runs)},
        "reward": {"final": _nan_mean(_final(run.metrics, "reward") for run in runs)},
        "clip_share": shares,
        "zero_variance_fraction": {"mean": _nan_mean(_mean(run.metrics, "frac_reward_zero_std") for run in runs)},
        "seconds": [run.manifest.get("seconds") for run in runs],
    }


def _differences(records: Records, by_arm: dict[str, list[RunRecord]], metrics: dict) -> list[dict[str, Any]]:
    """Arm minus base, and arm minus first arm, paired by question."""
    measured = {arm: _last(runs) for arm, runs in by_arm.items()}
    sides = [(arm, BASE, [records.base]) for arm in measured if records.base]
    first, *others = measured
    sides += [(arm, first, measured[first]) for arm in others]
    found = []
    for arm, reference, evaluations in sides:
        if measured[arm] and evaluations and measured[arm][0].questions == evaluations[0].questions:
            values = {
                name: of_differences(_over_seeds(measured[arm], metric) - _over_seeds(evaluations, metric))
                for name, metric in metrics.items()
            }
            found.append({"arm": arm, "minus": reference} | {name: each._asdict() for name, each in values.items()})
    return found


def _entropy_ratio(arms: dict[str, Any]) -> dict[str, float | None]:
    first, *others = arms
    reference = arms[first]["entropy"]["final"]
    finals = {arm: arms[arm]["entropy"]["final"] for arm in others}
    return {f"{arm} / {first}": final / reference if final and reference else None for arm, final in finals.items()}


def _series(runs: list[RunRecord], metrics: dict, base: Evaluation | None) -> dict[str, list[dict[str, Any]]]:
    """Points of the panels, averaged over seeds: training metrics by step, evaluation metrics by checkpoint."""
    logged: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        for line in run.metrics:
            for name in ("entropy", "reward", *(f"clip/{quadrant}" for quadrant in QUADRANTS)):
                if line.get(name) is not None:
                    logged[name][line["step"]].append(line[name])
    series: dict[str, list[dict[str, Any]]] = {
        name: [{"step": step, "value": float(np.mean(values))} for step, values in sorted(by_step.items())]
        for name, by_step in logged.items()
    }
    steps = sorted({step for run in runs for step in run.evaluations})
    for name, metric in metrics.items():
        points = {step: [run.evaluations[step] for run in runs if step in run.evaluations] for step in steps}
        measured = {0: [base]} | points if base else points
        series[name] = [{"step": step} | _interval(found, metric) for step, found in measured.items()]
    return series


def _interval(evaluations: list[Evaluation], metric: Callable[[Evaluation], np.ndarray]) -> dict[str, float]:
    return over_questions(_over_seeds(evaluations, metric))._asdict()


def _final(metrics: list[dict[str, Any]], name: str) -> float | None:
    return next((line[name] for line in reversed(metrics) if line.get(name) is not None), None)


def _mean(metrics: list[dict[str, Any]], name: str) -> float | None:
    return _nan_mean(line.get(name) for line in metrics)


def _nan_mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are there; None where none is."""
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None


def _notes(records: Records, by_arm: dict[str, list[RunRecord]]) -> list[str]:
    evaluations = [
        *([records.base] if records.base else []),
        *(e for runs in by_arm.values() for e in _last(runs)),
    ]
    notes = []
    if evaluations:
        questions, samples = len(evaluations[0].questions), evaluations[0].samples
        notes.append(
            f"{questions} questions, {samples} samples each. Avg@k is the mean over all samples, the same in "
            f"expectation for every k. Pass@k is the unbiased estimator of Chen et al. 2021."
        )
        if samples in records.pass_at_k:
            notes.append(f"Pass@{samples} uses all samples at once: it is no more than whether any of them was right.")
        notes.append("Intervals are 95% and over questions: what other questions would have changed.")
    fewest = min(len(runs) for runs in by_arm.values())
    if fewest < 3:
        notes.append(
            f"{'One training seed' if fewest == 1 else 'Two training seeds'} per arm: what another seed would have "
            f"changed is not covered by the intervals, so a difference between arms is no verdict on their rules."
        )
    return notes
