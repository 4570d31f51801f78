"""The comparison of a report's arms: `comparisons` and `verdict` of `report.json`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from abcgrpo.comparison.compare import RULE, Comparison, compare, limits
from abcgrpo.evaluation.store import Evaluation
from abcgrpo.report.records import Records


def compared(records: Records, metrics: dict[str, Callable[[Evaluation], np.ndarray]]) -> dict[str, Any]:
    """Every arm against the first, at each run's last step.

    - `comparisons`: a `Comparison` for each arm and metric.
    - `verdict`: sentences for the top of the page: the family's comparisons, then what could not be concluded.
    - `verdict_rule`: the rule, in words.
    """
    largest = max(records.pass_at_k)
    primary = [f"avg@{largest}", f"pass@{largest}"]
    runs: dict[str, dict[int, Evaluation]] = {arm: {} for arm in records.planned_arms}
    for run in records.runs:
        if run.final:
            runs[run.arm][run.seed] = run.final
    measured = [evaluation for by_seed in runs.values() for evaluation in by_seed.values()]
    benchmark = measured[0].settings.get("benchmark", "the benchmark") if measured else ""
    found = compare({benchmark: runs}, records.planned_arms, metrics, primary) if len(runs) > 1 and measured else []
    return {
        "comparisons": [each.to_dict() for each in found],
        "verdict": _sentences(records, found, primary),
        "verdict_rule": RULE,
    }


def _sentences(records: Records, found: list[Comparison], primary: list[str]) -> list[str]:
    sentences = [each.sentence for each in found if each.metric in primary]
    baseline, *others = records.planned_arms
    sentences += [
        f"{arm} against {baseline}: not compared, since no seed of both was measured at the last step on the same "
        f"questions."
        for arm in others
        if arm not in {each.arm for each in found}
    ]
    if found:
        limit = limits(max(each.seeds for each in found), len(others) * len(primary))
        sentences += [limit] if limit else []
    return sentences
