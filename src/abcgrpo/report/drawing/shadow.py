"""What other rules would have removed over training, by quadrant, and how far apart rules are."""

from typing import Any

import altair as alt

from abcgrpo.report.content.shadow import PLACES, first_measured
from abcgrpo.report.drawing.panel import Panel, step_axis, step_extent
from abcgrpo.report.drawing.style import colour, dash, zoom

MEASURED = "measured"
"""The parameter of these figures that says the runs of which arm are shown."""
SMALLEST = 0.0005
"""Of a distance that the matrix writes out."""


def shadow_panels(summary: dict[str, Any]) -> list[Panel]:
    """Removed mass over training, in all and in each quadrant, a line for each rule; and the matrix of distances.

    The page lets a reader choose the arm in whose runs rules were measured; image files show the one in whose runs they
    are furthest apart.
    """
    series = {arm: found for arm in summary["arms"] if (found := summary["series"][arm]["shadow"])}
    if not series:
        return []
    measured = alt.param(name=MEASURED, value=first_measured(summary["arms"]))
    panels = [_over_training(series, place, measured) for place in PLACES]
    distances = {arm: summary["arms"][arm]["shadow"]["distance"] for arm in series}
    return [*(panel for panel in panels if panel), _matrix(distances, measured)]


def _over_training(series: dict[str, Any], place: str, measured: alt.Parameter) -> Panel | None:
    rows = [
        {"arm": arm, "rule": rule, "step": point["step"], "value": float(f"{point['value']:.4g}")}
        for arm, by_rule in series.items()
        for rule, places in by_rule.items()
        for point in places.get(place, [])
    ]
    if not rows:
        return None
    rules = _rules(series)
    y = alt.Y("value:Q", title="share of the gradient's mass", axis=alt.Axis(format=".2~%", tickCount=5))
    chart = _of_one_arm(rows)
    drawn = {"color": colour(rules, "rule", columns=3, width=120), "strokeDash": dash(rules, "rule")}
    line = chart.mark_line(strokeWidth=2).encode(x=step_axis(), y=y, **drawn)
    tooltip = [alt.Tooltip("rule:N"), alt.Tooltip("step:Q"), alt.Tooltip("value:Q", format=".3~%")]
    target = chart.mark_point(size=140, opacity=0).encode(x=step_axis(), y=y, tooltip=tooltip)
    where = "in all" if place == "all" else f"in {place.upper()}"
    return Panel(
        name=f"removed_mass_{place}",
        title=f"Removed gradient mass {where}",
        caption="What each rule removes of the gradient, or adds to it; “trained” is the rule that was trained. Mean "
        "over seeds, and over stretches of training.",
        section="shadow",
        chart=alt.layer(line, target.add_params(zoom())).add_params(measured),
        extent=step_extent(rows),
    )


def _matrix(distances: dict[str, Any], measured: alt.Parameter) -> Panel:
    rows = [
        {"arm": arm, "one": one, "other": other, "distance": value, "text": _percent(value)}
        for arm, matrix in distances.items()
        for one, by_rule in matrix.items()
        for other, value in by_rule.items()
        if value is not None
    ]
    rules = _rules(distances)
    largest = max((row["distance"] for row in rows), default=0.0) or 1.0
    chart = _of_one_arm(rows)
    x = alt.X("other:N", title=None, sort=rules, axis=alt.Axis(labelAngle=-35, labelFontSize=12))
    y = alt.Y("one:N", title=None, sort=rules, axis=alt.Axis(labelFontSize=12))
    scale = alt.Scale(domain=[0, largest], range=["#e8f1f8", "#0b4a78"])
    cells = chart.mark_rect().encode(
        x=x,
        y=y,
        color=alt.Color("distance:Q", scale=scale, legend=None),
        tooltip=[alt.Tooltip("one:N"), alt.Tooltip("other:N"), alt.Tooltip("distance:Q", format=".3~%")],
    )
    dark = alt.value("#ffffff"), alt.value("#10202c")
    texts = chart.mark_text(fontSize=12).encode(
        x=x, y=y, text="text:N", color=alt.condition(alt.datum.distance > largest / 2, *dark)
    )
    return Panel(
        name="rule_distances",
        title="How far apart rules are",
        caption="% of the gradient's mass to which two rules give another weight, mean over steps and seeds.",
        section="shadow",
        chart=alt.layer(cells, texts).add_params(measured),
    )


def _percent(share: float) -> str:
    return "0" if share == 0 else "<0.1" if share < SMALLEST else f"{100 * share:.1f}"


def _rules(by_arm: dict[str, dict[str, Any]]) -> list[str]:
    """All rules that were measured; the trained one first."""
    return list(dict.fromkeys(rule for rules in by_arm.values() for rule in rules))


def _of_one_arm(rows: list[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.Data(values=rows)).transform_filter(f"datum.arm === {MEASURED}")
