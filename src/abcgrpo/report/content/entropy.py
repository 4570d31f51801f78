"""The entropy at the end of training, arm over baseline: `entropy_at_end` of `report.json`, and its sentence."""

from typing import Any

from abcgrpo.comparison.logged import at_end, compare_at_end
from abcgrpo.report.reading.records import Records


def entropies_at_end(records: Records) -> list[dict[str, Any]]:
    """Every arm over the first, under each condition by itself; a `RatioAtEnd` for each."""
    settings = {
        condition: {
            arm: {run.seed: at_end(run.metrics["entropy"]) for run in runs if run.metrics.get("entropy")}
            for arm, runs in records.under(condition).items()
        }
        for condition in records.all_conditions
    }
    arms = records.planned_arms
    return [each.to_dict() for each in compare_at_end(settings, arms)] if len(arms) > 1 else []


def entropy_sentence(found: list[dict[str, Any]]) -> str | None:
    """The verdicts on the entropy in one sentence; None if no p-value could be had."""
    tested = [each for each in found if each["p_value_holm"] is not None]
    if not tested:
        return None
    baseline, parts = tested[0]["baseline"], []
    for verdict in ("higher", "lower"):
        named = [
            f"{each['arm']} ({each['ratio']:.2f} ×{'' if each['setting'] is None else ', ' + each['setting']})"
            for each in tested
            if each["verdict"] == verdict
        ]
        if named:
            parts.append(f"{verdict}: {', '.join(named)}")
    left = sum(each["verdict"] == "inconclusive" for each in tested)
    if left:
        parts.append(f"inconclusive: {left} of {len(tested)} comparisons")
    return f"Entropy at the end against {baseline}: {'; '.join(parts)}."
