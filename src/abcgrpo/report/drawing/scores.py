"""How each arm's Avg@k and Pass@k move over training."""

from typing import Any

import altair as alt

from abcgrpo.report.drawing.panel import Drawing, Panel, step_axis, step_extent, thin_lines
from abcgrpo.report.drawing.style import colour, dash, hidden, picked, shape, shown, zoom
from abcgrpo.report.wording import metric_title

MOST_BANDS = 2
"""More bands than these cover one another."""


def score_panels(summary: dict[str, Any]) -> list[Panel]:
    """Three for each benchmark."""
    return [panel for benchmark in summary["benchmarks"] for panel in _scores(summary, benchmark)]


def panel_metrics(columns: list[str]) -> dict[str, str]:
    """The three columns that have panels, by the name of the file: Avg@k, Pass@k at half of the largest k and at it."""
    average, *passes = columns
    named = dict(zip(("pass_at_k_large", "pass_at_k_middle"), reversed(passes[-2:]), strict=False))
    return {"avg_at_k": average} | dict(reversed(named.items()))


def _scores(summary: dict[str, Any], benchmark: str) -> list[Panel]:
    """Panels of one benchmark: how each arm's Avg@k and Pass@k move over training."""
    found = []
    arms = list(summary["arms"])
    several = len(summary["benchmarks"]) > 1
    for name, metric in panel_metrics(summary["benchmarks"][benchmark]["columns"]).items():
        points = {arm: summary["series"][arm]["evaluation"].get(benchmark, {}).get(metric, []) for arm in arms}
        rows = [
            {"arm": arm} | {part: point[part] for part in ("step", "value", "low", "high")}
            for arm in arms
            for point in points[arm]
        ]
        seeds = [
            {"arm": arm, "seed": seed, "step": point["step"], "value": value}
            for arm in arms
            for point in points[arm]
            for seed, value in point.get("seeds", {}).items()
        ]
        if any(row["step"] > 0 for row in rows):  # scores without a run have no course over training
            title = metric_title(metric)
            found.append(
                Panel(
                    name=f"{name}_{benchmark}" if several else name,
                    title=f"{title} · {benchmark}" if several else title,
                    caption="Share of answers that are right, at each checkpoint; the base is step 0."
                    + (" Bands: 95% over questions." if len(arms) <= MOST_BANDS else "")
                    + (" Thin lines: single seeds." if seeds else ""),
                    section=benchmark,
                    chart=_score_chart(arms, rows, seeds, title),
                    extent=step_extent(rows),
                )
            )
    return found


def _score_chart(arms: list[str], rows: list[dict], seeds: list[dict], title: str) -> Drawing:
    tooltip = [
        alt.Tooltip("arm:N"),
        alt.Tooltip("step:Q"),
        *(alt.Tooltip(f"{part}:Q", format=".1%") for part in ("value", "low", "high")),
    ]
    chart = shown(alt.Chart(alt.Data(values=rows)))
    y = alt.Y("value:Q", title=title, axis=alt.Axis(format="%"), scale=alt.Scale(zero=False))
    band = chart.mark_area(opacity=0.13).encode(
        x=step_axis(), y=alt.Y("low:Q", title=title, axis=alt.Axis(format="%")), y2="high:Q", color=colour(arms)
    )
    line = chart.mark_line(strokeWidth=2.5).encode(x=step_axis(), y=y, color=colour(arms), strokeDash=dash(arms))
    points = chart.mark_point(size=60, filled=True, opacity=1).encode(
        x=step_axis(), y=y, color=colour(arms), shape=shape(arms), tooltip=tooltip
    )
    layers = [line.add_params(picked()), points.add_params(zoom())]
    if seeds:
        layers.insert(0, thin_lines(arms, seeds, y))
    if len(arms) <= MOST_BANDS:
        layers.insert(0, band)
    return alt.layer(*layers).add_params(hidden())
