"""Differences between arms with their intervals, and against conditions."""

from typing import Any

import altair as alt

from abcgrpo.report.content.comparison import between_arms
from abcgrpo.report.drawing.panel import Drawing, Panel
from abcgrpo.report.drawing.style import HEIGHT, colour, hidden, picked, shape, shown
from abcgrpo.report.wording import metric_title


def forest_panels(summary: dict[str, Any]) -> list[Panel]:
    """Each arm's difference from the baseline with its interval, a panel for each benchmark and condition."""
    comparisons = between_arms(summary)
    by_condition = any(each.get("condition") for each in comparisons)
    arms = list(dict.fromkeys(each["arm"] for each in comparisons)) if by_condition else list(summary["arms"])
    settings = list(dict.fromkeys(each["benchmark"] for each in comparisons))
    found = [*condition_panels(comparisons)]
    for number, benchmark in enumerate(settings):
        kept = ("arm", "metric", "difference", "low", "high", "verdict")
        rows = [
            {name: each[name] for name in kept} | {"metric": metric_title(each["metric"])}
            for each in comparisons
            if each["benchmark"] == benchmark
        ]
        baseline = next(each["baseline"] for each in comparisons if each["benchmark"] == benchmark)
        found.append(
            Panel(
                name=_panel_name("comparison", benchmark, number, settings),
                title=f"Difference from {baseline}" + (f" · {benchmark}" if len(settings) > 1 else ""),
                caption="Points with 95% paired intervals; an interval that holds 0 does not tell the arms apart.",
                section="comparison",
                chart=_forest(arms, rows),
                height=max(HEIGHT, 15 * len(rows)),
            )
        )
    return found


def _panel_name(kind: str, of: str, number: int, all_of: list[str]) -> str:
    """A file's name: that of a benchmark as it is; of a condition, which may hold any character, its number."""
    return kind if len(all_of) == 1 else f"{kind}_{of}" if of.isidentifier() else f"{kind}_{number + 1}"


def condition_panels(comparisons: list[dict[str, Any]]) -> list[Panel]:
    """Effect against condition: each arm's difference from the baseline, a panel for each benchmark and primary metric.

    There is none without conditions.
    """
    family = [each for each in comparisons if each["in_family"] and each.get("condition")]
    arms = list(dict.fromkeys(each["arm"] for each in family))
    panels = []
    for benchmark, metric in dict.fromkeys((each["measured_on"], each["metric"]) for each in family):
        kept = ("arm", "condition", "difference", "low", "high", "verdict")
        rows = [
            {name: each[name] for name in kept}
            for each in family
            if (each["measured_on"], each["metric"]) == (benchmark, metric)
        ]
        baseline = family[0]["baseline"]
        panels.append(
            Panel(
                name=f"effect_by_condition_{len(panels) + 1}",
                title=f"{metric_title(metric)} on {benchmark}: difference from {baseline} by condition",
                caption="Points with 95% paired intervals over seeds and questions, within each condition.",
                section="comparison",
                chart=_by_condition(arms, rows),
            )
        )
    return panels


def _by_condition(arms: list[str], rows: list[dict[str, Any]]) -> Drawing:
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    chart = shown(alt.Chart(alt.Data(values=rows)))
    slanted = alt.Axis(labelAngle=-20, labelLimit=200)  # names of conditions are long
    x = alt.X("condition:N", title=None, scale=alt.Scale(domain=conditions), axis=slanted)
    offset = alt.XOffset("arm:N", sort=arms)
    zero = alt.Chart(alt.Data(values=[{"difference": 0}])).mark_rule(opacity=0.6, color="#888").encode(y="difference:Q")
    y = alt.Y("low:Q", title="difference in points", axis=_points())
    interval = chart.mark_rule(strokeWidth=2).encode(x=x, xOffset=offset, y=y, y2="high:Q", color=colour(arms))
    tooltip = [
        alt.Tooltip("arm:N"),
        alt.Tooltip("condition:N"),
        *(alt.Tooltip(f"{part}:Q", format="+.1%") for part in ("difference", "low", "high")),
        alt.Tooltip("verdict:N"),
    ]
    point = chart.mark_point(size=70, filled=True, opacity=1).encode(
        x=x, xOffset=offset, y="difference:Q", color=colour(arms), shape=shape(arms), tooltip=tooltip
    )
    return alt.layer(zero, interval.add_params(picked()), point).add_params(hidden())


def _points() -> alt.Axis:
    return alt.Axis(labelExpr="format(100 * datum.value, '+.1~f')", tickCount=6)


def _forest(arms: list[str], rows: list[dict[str, Any]]) -> Drawing:
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    chart = shown(alt.Chart(alt.Data(values=rows)))
    # Domains of their own: hiding an arm leaves the axes as they are.
    y = alt.Y("metric:N", title=None, scale=alt.Scale(domain=metrics), axis=alt.Axis(labelFontSize=12))
    ends = [0.0, *(row[end] for row in rows for end in ("low", "high", "difference") if row[end] is not None)]
    span = alt.Scale(domain=[min(ends), max(ends)], nice=True)
    offset = alt.YOffset("arm:N", sort=arms)
    zero = alt.Chart(alt.Data(values=[{"difference": 0}])).mark_rule(opacity=0.6, color="#888").encode(x="difference:Q")
    interval = chart.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title="difference in points", axis=_points(), scale=span),
        x2="high:Q",
        y=y,
        yOffset=offset,
        color=colour(arms),
    )
    tooltip = [
        alt.Tooltip("arm:N"),
        alt.Tooltip("metric:N"),
        *(alt.Tooltip(f"{part}:Q", format="+.1%") for part in ("difference", "low", "high")),
        alt.Tooltip("verdict:N"),
    ]
    point = chart.mark_point(size=70, filled=True, opacity=1).encode(
        x="difference:Q", y=y, yOffset=offset, color=colour(arms), shape=shape(arms), tooltip=tooltip
    )
    return alt.layer(zero, interval.add_params(picked()), point).add_params(hidden())
