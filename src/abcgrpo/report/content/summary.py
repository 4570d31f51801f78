"""From records to the content of `report.json`, which tables, figures and the page only lay out."""

from datetime import date
from typing import Any

from abcgrpo.comparison.compare import RULE
from abcgrpo.comparison.logged import LOGGED_RULE
from abcgrpo.evaluation.clusters import in_words
from abcgrpo.evaluation.results import suspicion_of_training, suspicions
from abcgrpo.report.content.comparison import base_sentences, compare_arms, comparison_sentences
from abcgrpo.report.content.conditions import conditions
from abcgrpo.report.content.entropy import entropies_at_end, entropy_sentence
from abcgrpo.report.content.frontier import frontiers
from abcgrpo.report.content.runs import about, configuration, manifests, rule_of
from abcgrpo.report.content.samples import samples
from abcgrpo.report.content.scores import arm_scores, base_scores, benchmarks, clusters_of, score_series
from abcgrpo.report.content.shadow import shadow_sentence, shadow_series, shadow_summary
from abcgrpo.report.content.tokens import recorded_responses
from abcgrpo.report.content.training import arm_metrics, arm_series, log_notes, metrics_not_read, ratios
from abcgrpo.report.reading.records import Measured, Records, RunRecord

SCHEMA = 2
"""Version of `report.json`; raised when a key changes its meaning. docs/report.md has the schema."""


def summarize(records: Records) -> dict[str, Any]:
    """Everything that the report says; docs/report.md has the schema. Shares are fractions of 1."""
    by_arm = records.by_arm
    arms: dict[str, Any] = {
        arm: arm_metrics(runs)
        | {
            "rule": rule_of(runs),
            "shadow": (shadow := shadow_summary(runs)),
            "another_rule": shadow_sentence(arm, runs, shadow),
            "evaluation": arm_scores(records, runs) or None,
        }
        for arm, runs in by_arm.items()
    }
    ratio = ratios({arm: content["entropy"]["final"] for arm, content in arms.items()})
    summary = {
        "schema": SCHEMA,
        "title": records.title,
        "made": date.today().isoformat(),
        "about": about(records),
        "reference": next(iter(arms)),
        "benchmarks": benchmarks(records),
        "base": base_scores(records),
        "arms": arms,
        "entropy_ratio": ratio,
        "entropy_at_end": (entropies := entropies_at_end(records)),
        "entropy_rule": LOGGED_RULE,
        "comparisons": (compared := compare_arms(records)),
        "conditions": conditions(records, compared, arms),
        "frontier": (frontier := frontiers(records, records.level)),
        "verdict_rule": RULE,
        "series": {
            arm: arm_series(runs) | {"evaluation": score_series(records, runs), "shadow": shadow_series(runs)}
            for arm, runs in by_arm.items()
        },
        "samples": samples(records),
        "tokens": {arm: found for arm, runs in by_arm.items() if (found := recorded_responses(runs))},
        "configuration": configuration(by_arm),
        "runs": manifests(records.runs),
        "another_rule": _another_rule(records, arms),
        "metrics_not_read": metrics_not_read(by_arm),
        "notes": _notes(records),
        "missing": records.missing,
    }
    first, *rest = comparison_sentences(records, compared) or _verdict(summary) or [""]
    moved = [*base_sentences(records, compared), *_warnings(records)]
    verdict = [first, *moved, *rest, entropy_sentence(entropies), *(each["sentence"] for each in frontier)]
    return summary | {"verdict": [each for each in [*verdict, *records.additions] if each]}


def _another_rule(records: Records, arms: dict[str, Any]) -> list[str]:
    """The answer for the arm that others are compared with, under each condition; for all arms that are not planned."""
    baseline = {run.label for run in records.runs if run.arm == records.planned_arms[0]}
    asked = baseline if records.planned else arms.keys()
    return [content["another_rule"] for arm, content in arms.items() if arm in asked and content["another_rule"]]


def _verdict(summary: dict[str, Any]) -> list[str]:
    """What can be said of the arms where no comparison has been made."""
    arms = summary["arms"]
    sentences = []
    if not summary["benchmarks"]:
        sentences.append(
            "No verdict on accuracy: these are training logs, without an evaluation. They show how training went, not "
            "which arm answers better."
        )
    reference = summary["reference"]
    for arm in arms:
        ratio = summary["entropy_ratio"].get(f"{arm} / {reference}")
        if ratio is not None:
            sentences.append(f"Final entropy of {arm} is {ratio:.2f} × that of {reference}.")
    if len(arms) > 1:
        fewest = min(len(content["seeds"]) for content in arms.values())
        if fewest < 3:
            sentences.append(
                f"{'One training seed' if fewest == 1 else 'Two training seeds'} per arm: what another seed would have "
                f"changed is not covered, so a difference between arms is no verdict on their rules."
            )
    return sentences


def _last(run: RunRecord, records: Records) -> dict[str, Measured]:
    return {name: found for name in records.benchmarks if (found := run.last(name)) is not None}


def _notes(records: Records) -> list[str]:
    notes: list[str] = []
    for name, benchmark in benchmarks(records).items():
        samples = benchmark["samples"]
        if records.shares is None:
            notes.append(
                f"{name}: {benchmark['questions']} questions, {samples} samples each. Avg@k is the mean over all "
                f"samples, the same in expectation for every k. Pass@k is the unbiased estimator of Chen et al. 2021."
            )
        notes.append(f"{name}: {in_words(benchmark['questions'], clusters_of(records, name))}")
        if records.shares is None and samples in records.pass_at_k:
            notes.append(f"Pass@{samples} uses all samples at once: it only says whether any of them was right.")
    if notes:
        notes.append("Intervals of single arms are 95%, over questions: they cover other questions of the same kind.")
    logged = any(run.metrics for run in records.runs)
    return notes + (log_notes(records.by_arm) if logged else [])


def _warnings(records: Records) -> list[str]:
    """What makes evaluations and training logs say little; each warning once, with the models that it is of."""
    found: dict[tuple[str, str], list[str]] = {}

    def evaluated(label: str, by_benchmark: dict[str, Measured], trained: bool) -> None:
        for name, each in by_benchmark.items():
            for warning in suspicions(each.evaluation, trained):
                found.setdefault((f" on {name}", warning), []).append(label)

    evaluated("the base", records.base, trained=False)
    for run in records.runs:
        evaluated(run.label, _last(run, records), trained=True)
        if warning := suspicion_of_training(run.metrics.get("reward", {}).values()):
            found.setdefault(("", warning), []).append(f"{run.label}, seed {run.seed}")
    return [f"{', '.join(dict.fromkeys(labels))}{where}: {warning}" for (where, warning), labels in found.items()]
