"""When does the rule matter? The comparisons of an experiment with conditions, condition by condition."""

from typing import Any

from abcgrpo.report.reading.records import Records, arm_label
from abcgrpo.report.wording import listed, metric_title


def conditions(records: Records, comparisons: list[dict[str, Any]], arms: dict[str, Any]) -> dict[str, Any] | None:
    """What can be said of an experiment's conditions; None if it has none, or nothing was compared.

    - `names`: in the experiment's order.
    - `sentences`: under which conditions arms are told apart; and whether the conditions could have shown anything.
    - `gradient`: by condition, the largest share of the gradient's mass by which a rule that was measured beside the
      baseline's differs from it (`shadow.shadow_summary`); None if it was not logged.

    Args:
        records: what runs have left.
        comparisons: as `compare_arms` gives them.
        arms: those of `report.json`.
    """
    family = [each for each in comparisons if each["in_family"] and each["condition"] is not None]
    if not family:
        return None
    names = [name for name in dict.fromkeys(records.conditions) if name in {each["condition"] for each in family}]
    baseline = family[0]["baseline"]
    gradient = {}
    for name in names:
        shadow = arms[arm_label(baseline, name)]["shadow"]
        gradient[name] = shadow and shadow["furthest"]
    return {"names": names, "sentences": _sentences(family, names, arms), "gradient": gradient}


def _sentences(family: list[dict[str, Any]], names: list[str], arms: dict[str, Any]) -> list[str]:
    baseline = family[0]["baseline"]
    told_apart = {
        name: found
        for name in names
        if (found := [each for each in family if each["condition"] == name and each["verdict"] != "inconclusive"])
    }
    if not told_apart:
        sentences = [
            f"Under none of the {len(names)} conditions is an arm told apart from {baseline}: all {len(family)} "
            f"comparisons are inconclusive."
        ]
    else:
        sentences = [
            f"The rule matters under {listed(list(told_apart))}.",
            *(f"{name}: {_in_words(found)}." for name, found in told_apart.items()),
        ]
        if others := [name for name in names if name not in told_apart]:
            sentences.append(f"Under {listed(others)} no arm is told apart from {baseline}.")
    return [*sentences, *_uninformative(family, names[-1], arms)]


def _in_words(found: list[dict[str, Any]]) -> str:
    """`better than GRPO: CISPO (Pass@64); worse: ABC-GRPO (Avg@64, Pass@64)`."""
    several = len({each["measured_on"] for each in found}) > 1
    parts = []
    for verdict in ("better", "worse"):
        of_arm: dict[str, list[str]] = {}
        for each in found:
            if each["verdict"] == verdict:
                where = f" on {each['measured_on']}" if several else ""
                of_arm.setdefault(each["arm"], []).append(metric_title(each["metric"]) + where)
        if of_arm:
            arms = ", ".join(f"{arm} ({', '.join(metrics)})" for arm, metrics in of_arm.items())
            parts.append(f"{verdict} than {found[0]['baseline']}: {arms}")
    return "; ".join(parts)


def _uninformative(family: list[dict[str, Any]], last: str, arms: dict[str, Any]) -> list[str]:
    """A control: where an arm without any bound is not told apart under the last condition, no bound can be judged.

    If another arm is told apart there, what stays open is whether the baseline's own bound does anything.
    """
    under_last = [each for each in family if each["condition"] == last]
    told_apart = any(each["verdict"] != "inconclusive" for each in under_last)
    baseline = family[0]["baseline"]
    conclusion = f"what {baseline}'s own bound does is not known" if told_apart else "the conditions are uninformative"
    return [
        f"Under {last} even {arm}, which bounds nothing, is not told apart from {baseline}: {conclusion}."
        for arm in dict.fromkeys(each["arm"] for each in under_last)
        if (arms.get(arm_label(arm, last), {}).get("rule") or {}).get("name") == "open"
        and all(each["verdict"] == "inconclusive" for each in under_last if each["arm"] == arm)
    ]
