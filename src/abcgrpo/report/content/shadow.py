"""Would another rule have mattered? From the shadow rules that a run logged, or from its clip events alone."""

from itertools import combinations
from typing import Any

import numpy as np

from abcgrpo.event_shares import QUADRANTS
from abcgrpo.report.content.training import mean, thinned
from abcgrpo.report.reading.records import RunRecord
from abcgrpo.report.wording import two_digits

PREFIX = "shadow/removed/"
PLACES = ("all", *QUADRANTS)
"""Where mass is removed."""
TRAINED = "trained"
"""What the rule that is trained is called beside the others."""
MOST_POINTS = 48
"""Points of a line: longer courses are means of equal stretches."""
HARDLY, SOMEWHAT = 0.01, 0.1
"""Shares of the gradient's mass: below the first another rule mattered hardly, below the second somewhat, else much.
Words for a size, and no test: whether answers become better or worse is what arms and seeds are for."""


def shadow_summary(runs: list[RunRecord]) -> dict[str, Any] | None:
    """Means over all logged steps and seeds of an arm; None if its runs logged no shadow rules.

    - `removed.<rule>`: `all` and `q1` … `q4`, shares of the gradient's mass.
    - `distance.<rule>.<rule>`: symmetric, the share of that mass in which two rules differ.
    - `furthest`: the largest distance from the trained rule, or, where what is trained is no rule, of any two.
    """
    removed: dict[str, dict[str, float | None]] = {}
    for rule, place, name in _names(runs):
        removed.setdefault(rule, {})[place] = _mean(runs, name)
    if not removed:
        return None
    distance: dict[str, dict[str, float | None]] = {one: {} for one in removed}
    for one in removed:
        for other in removed:
            value = _mean(runs, f"shadow/distance/{one}/{other}")
            if value is not None:
                distance[one][other] = distance[other][one] = value
    sides = [distance[TRAINED]] if TRAINED in distance else list(distance.values())
    known = [value for side in sides for value in side.values() if value is not None]
    return {"removed": removed, "distance": distance, "furthest": max(known, default=None)}


def first_measured(arms: dict[str, Any]) -> str | None:
    """Whose runs the shadow rules are shown of first: of the arm in whose runs they are furthest apart.

    Args:
        arms: those of `report.json`.
    """
    furthest = {arm: of["shadow"]["furthest"] or 0.0 for arm, of in arms.items() if of["shadow"]}
    return max(furthest, key=lambda arm: furthest[arm], default=None)


def shadow_series(runs: list[RunRecord]) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Removed mass over training, mean over seeds: rule → `all`, `q1` … `q4` → points of `step` and `value`.

    Longer courses are means of `MOST_POINTS` equal stretches: the mass of a single step jumps from 0, in a rollout's
    first mini-batch, to the most that a rollout sees.
    """
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for rule, place, name in _names(runs):
        steps = sorted({step for run in runs for step in run.metrics.get(name, {})})
        values = [mean(run.metrics.get(name, {}).get(step) for run in runs) for step in steps]
        points = zip(*thinned(np.array(steps), np.array(values), MOST_POINTS), strict=True)
        found.setdefault(rule, {})[place] = [{"step": int(step), "value": float(value)} for step, value in points]
    return found


def _names(runs: list[RunRecord]) -> list[tuple[str, str, str]]:
    """Rule, place and name of each metric of removed mass; the trained rule first."""
    names = {name for run in runs for name in run.metrics if name.startswith(PREFIX)}
    parts = [(*name.removeprefix(PREFIX).partition("/")[::2], name) for name in names]
    return sorted(
        ((rule, place or "all", name) for rule, place, name in parts),
        key=lambda each: (each[0] != TRAINED, each[0], PLACES.index(each[1]) if each[1] in PLACES else 0),
    )


def shadow_sentence(arm: str, runs: list[RunRecord], summary: dict[str, Any] | None) -> str | None:
    """What the measured rules would have changed in an arm's runs, or what its clip events allow; None without both.

    Args:
        arm: its name.
        runs: of the arm.
        summary: their `shadow_summary`.
    """
    if summary is None:
        return _bound(arm, runs)
    if summary["furthest"] is None:
        return None
    if summary["furthest"] == 0:
        return f"{arm}: no. No ratio left 1, as with one mini-batch per rollout, where no rule acts."
    answer = f"{arm}: {_answer(summary['furthest'])}."
    distance = summary["distance"]
    if TRAINED not in distance:
        one, other = max(
            ((one, other) for one, other in combinations(distance, 2) if distance[one].get(other) is not None),
            key=lambda pair: distance[pair[0]][pair[1]],
        )
        return (
            f"{answer} It was trained with a loss that is no rule here. Of the rules measured beside it {one} and "
            f"{other} are furthest apart, by {two_digits(distance[one][other])} of the gradient's mass."
        )
    apart = {rule: value for rule, value in distance[TRAINED].items() if value is not None}
    furthest, nearest = max(apart, key=lambda rule: apart[rule]), min(apart, key=lambda rule: apart[rule])
    own = summary["removed"][TRAINED]["all"]
    return (
        f"{answer} Its rule removed {two_digits(own)} of the gradient's mass, as a mean over its steps. Of the rules "
        f"measured beside it {furthest} would have changed the most, {two_digits(apart[furthest])} of that mass, and "
        f"{nearest} the least, {two_digits(apart[nearest])}."
    )


def _answer(furthest: float) -> str:
    return "hardly" if furthest < HARDLY else "somewhat" if furthest < SOMEWHAT else "much"


def _bound(arm: str, runs: list[RunRecord]) -> str | None:
    """From clip events: the tokens whose weight could have been another one with other bounds at 0.2."""
    events = {quadrant: _mean(runs, f"clip/{quadrant}") for quadrant in QUADRANTS}
    known = {quadrant: value for quadrant, value in events.items() if value is not None}
    if not known:
        return None
    total = two_digits(sum(known.values()))
    names = ", ".join(name.upper() for name in known)
    unknown = [name.upper() for name in QUADRANTS if name not in known]
    rest = f" The log has no data for {' and '.join(unknown)}." if unknown else ""
    return (
        f"{arm}: {total} of its tokens left 0.8 … 1.2 in {names}. At these bounds a rule that acts there could have "
        f"changed the weight of these tokens only; how much gradient they carried is not in the log.{rest}"
    )


def _mean(runs: list[RunRecord], name: str) -> float | None:
    """Over steps, then over seeds."""
    return mean(mean(run.metrics[name].values()) if run.metrics.get(name) else None for run in runs)
