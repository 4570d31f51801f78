"""Would another rule have mattered? From the shadow rules that a run logged, or from its clip events alone."""

from typing import Any

from abcgrpo.event_shares import QUADRANTS
from abcgrpo.report.content.training import mean
from abcgrpo.report.reading.records import RunRecord

PREFIX = "shadow/removed/"


def shadow_figures(runs: list[RunRecord]) -> dict[str, Any] | None:
    """Means over all logged steps and seeds of an arm; None where its runs logged no shadow rules.

    `removed.<rule>` has `all` and `q1` … `q4`, shares of the gradient's mass; `distance.<rule>.<rule>` is symmetric.
    """
    removed: dict[str, dict[str, float | None]] = {}
    for name in sorted({name for run in runs for name in run.metrics if name.startswith(PREFIX)}):
        rule, _, quadrant = name.removeprefix(PREFIX).partition("/")
        removed.setdefault(rule, {})[quadrant or "all"] = _mean(runs, name)
    if not removed:
        return None
    distance: dict[str, dict[str, float | None]] = {one: {} for one in removed}
    for one in removed:
        for other in removed:
            value = _mean(runs, f"shadow/distance/{one}/{other}")
            if value is not None:
                distance[one][other] = distance[other][one] = value
    return {"removed": removed, "distance": distance}


def shadow_sentences(by_arm: dict[str, list[RunRecord]]) -> list[str]:
    """For each arm, what the measured rules would have changed, or what its clip events allow."""
    found = (_sentence(arm, runs) for arm, runs in by_arm.items())
    return [sentence for sentence in found if sentence]


def _sentence(arm: str, runs: list[RunRecord]) -> str | None:
    figures = shadow_figures(runs)
    if figures is None:
        return _bound(arm, runs)
    apart = {rule: value for rule, value in figures["distance"].get("trained", {}).items() if value is not None}
    if not apart:
        return None
    furthest, nearest = max(apart, key=lambda rule: apart[rule]), min(apart, key=lambda rule: apart[rule])
    own = figures["removed"]["trained"]["all"]
    return (
        f"{arm}: its rule removed {_percent(own)} of the gradient's mass, as a mean over its steps. Of the rules "
        f"measured beside it {furthest} would have changed the most, {_percent(apart[furthest])} of that mass, and "
        f"{nearest} the least, {_percent(apart[nearest])}."
    )


def _bound(arm: str, runs: list[RunRecord]) -> str | None:
    """From clip events: the tokens whose weight could have been another one with other bounds at 0.2."""
    events = {quadrant: _mean(runs, f"clip/{quadrant}") for quadrant in QUADRANTS}
    known = {quadrant: value for quadrant, value in events.items() if value is not None}
    if not known:
        return None
    total = _percent(sum(known.values()))
    names = ", ".join(name.upper() for name in known)
    unknown = [name.upper() for name in QUADRANTS if name not in known]
    rest = f" Of {' and '.join(unknown)} the log says nothing." if unknown else ""
    return (
        f"{arm}: {total} of its tokens left 0.8 … 1.2 in {names}. At these bounds no rule that acts there could have "
        f"weighed more tokens otherwise; how much gradient they carried is not in the log.{rest}"
    )


def _mean(runs: list[RunRecord], name: str) -> float | None:
    """Over steps, then over seeds."""
    return mean(mean(run.metrics[name].values()) if run.metrics.get(name) else None for run in runs)


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{100 * share:.2g}%"
