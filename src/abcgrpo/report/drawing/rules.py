"""The rules themselves: what each arm maximizes for one token, and its gradient, against r."""

from typing import Any

import altair as alt

from abcgrpo.report.drawing.panel import Panel, targets
from abcgrpo.report.drawing.style import colour, dash, hidden, picked, shown, zoom

SIDES = {"positive": ("Â > 0", "Q2", "Q1"), "negative": ("Â < 0", "Q3", "Q4")}
"""By sign of the advantage: its title, and the quadrants left and right of r = 1."""
KINDS = {
    "surrogate": ("What is maximized", "surrogate"),
    "gradient": ("Gradient", "gradient in log π"),
}


def rule_panels(arms: list[str], curves: dict[str, Any]) -> list[Panel]:
    """Surrogate and gradient against r, for Â > 0 and Â < 0, a line for each arm.

    Args:
        arms: all arms of the report, in order.
        curves: by arm, as `abcgrpo.curves.rule_curve` computes them with the rule.
    """
    if not curves:
        return []
    return [_rule_panel(arms, curves, kind, side) for side in SIDES for kind in KINDS]


def _rule_panel(arms: list[str], curves: dict[str, Any], kind: str, side: str) -> Panel:
    sign, left, right = SIDES[side]
    title, axis = KINDS[kind]
    rows = [
        {"arm": arm, "r": ratio, "value": value}
        for arm, curve in curves.items()
        for ratio, value in zip(curve["ratio"], curve[side][kind], strict=True)
    ]
    furthest = max(row["r"] for row in rows)
    x = alt.X("r:Q", title="importance ratio r", scale=alt.Scale(domain=[0, furthest], nice=False))
    values = [row["value"] for row in rows]
    y = alt.Y("value:Q", title=axis, scale=alt.Scale(domain=[min(0, *values), max(0, *values)], nice=True))
    lines = [
        shown(alt.Chart(alt.Data(values=[row for row in rows if row["arm"] == arm])))
        .mark_line(strokeWidth=width)
        .encode(x=x, y=y, color=colour(arms), strokeDash=dash(arms))
        for arm, width in zip(curves, _widths(len(curves)), strict=True)
    ]
    lines[0] = lines[0].add_params(picked())
    tooltip = [alt.Tooltip("arm:N"), alt.Tooltip("r:Q", format=".2f"), alt.Tooltip("value:Q", format=".3f")]
    target = targets(rows).encode(x=x, y=y, tooltip=tooltip)
    one = alt.Chart(alt.Data(values=[{"r": 1}])).mark_rule(strokeDash=[3, 3], opacity=0.5, color="#888").encode(x="r:Q")
    names = [
        {"r": 0.5, "name": left, "text": f"{left}: {sign}, r < 1"},
        {"r": (1 + furthest) / 2, "name": right, "text": f"{right}: {sign}, r > 1"},
    ]
    labels = alt.Chart(alt.Data(values=names)).mark_text(fontSize=15, fontWeight="bold", opacity=0.55, color="#888")
    labels = labels.encode(x="r:Q", y=alt.value(10), text="name:N", tooltip="text:N")
    return Panel(
        name=f"rule_{kind}_{side}",
        title=f"{title}, {sign}",
        caption=f"{left} is left of r = 1, {right} right of it.{_probabilities(curves)}",
        section="rules",
        chart=alt.layer(one, labels, *lines, target.add_params(zoom())).add_params(hidden()),
        extent=(0, furthest),
    )


def _probabilities(curves: dict[str, Any]) -> str:
    """Which curves are those of one old probability among others."""
    drawn = {arm: curve["old_probability"] for arm, curve in curves.items() if curve.get("old_probability")}
    if not drawn:
        return ""
    return f" {', '.join(drawn)}: for a token whose old probability was {next(iter(drawn.values())):g}."


def _widths(count: int) -> list[float]:
    """Rules share most of their course: each is drawn thinner than those under it, so that all of them are seen."""
    return [max(2.0, 5.5 - 1.2 * number) for number in range(count)]
