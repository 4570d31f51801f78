"""Pass@k against Avg@k along training."""

from typing import Any

import altair as alt

from abcgrpo.report.drawing.panel import Drawing, Panel
from abcgrpo.report.drawing.style import colour, dash, hidden, picked, shape, shown
from abcgrpo.report.wording import metric_title


def frontier_panels(summary: dict[str, Any]) -> list[Panel]:
    """Pass@k against Avg@k, a line for each arm through its checkpoints, thin lines for its seeds; one a benchmark."""
    panels = []
    several = len(summary["benchmarks"]) > 1
    for benchmark, content in summary["benchmarks"].items():
        names = content["columns"]
        if len(names) < 2:
            continue
        average, passes = names[0], names[-1]
        rows, thin = [], []
        for arm in summary["arms"]:
            series = summary["series"][arm]["evaluation"].get(benchmark, {})
            for x, y in zip(series.get(average, []), series.get(passes, []), strict=True):
                rows.append({"arm": arm, "step": x["step"], "average": x["value"], "passes": y["value"]})
                thin += [
                    {"arm": arm, "seed": seed, "step": x["step"], "average": value, "passes": y["seeds"][seed]}
                    for seed, value in x.get("seeds", {}).items()
                ]
        if len({row["step"] for row in rows}) < 2:
            continue
        levels = {each["level"] for each in summary["frontier"] if each["benchmark"].startswith(benchmark)}
        named = benchmark if benchmark.isidentifier() else str(len(panels) + 1)
        panels.append(
            Panel(
                name=f"frontier_{named}" if several else "frontier",
                title=f"{metric_title(passes)} against {metric_title(average)}"
                + (f" · {benchmark}" if several else ""),
                caption="A point for each checkpoint, the base first: equal learning is equal height on the x axis."
                + (" Dashed: the level at which arms are compared." if levels else "")
                + (" Thin lines: single seeds." if thin else ""),
                section=benchmark,
                chart=_chart(list(summary["arms"]), rows, thin, sorted(levels), (average, passes)),
            )
        )
    return panels


def _chart(
    arms: list[str],
    rows: list[dict[str, Any]],
    thin: list[dict[str, Any]],
    levels: list[float],
    metrics: tuple[str, str],
) -> Drawing:
    x_title, y_title = map(metric_title, metrics)
    percents = alt.Axis(format="%", grid=False)
    x = alt.X("average:Q", title=x_title, axis=percents, scale=alt.Scale(zero=False))
    y = alt.Y("passes:Q", title=y_title, axis=percents, scale=alt.Scale(zero=False))
    order = alt.Order("step:Q")
    chart = shown(alt.Chart(alt.Data(values=rows)))
    line = chart.mark_line(strokeWidth=2.5).encode(x=x, y=y, order=order, color=colour(arms), strokeDash=dash(arms))
    tooltip = [
        alt.Tooltip("arm:N"),
        alt.Tooltip("step:Q"),
        *(alt.Tooltip(f"{part}:Q", format=".1%") for part in ("average", "passes")),
    ]
    points = chart.mark_point(size=60, filled=True, opacity=1).encode(
        x=x, y=y, color=colour(arms), shape=shape(arms), tooltip=tooltip
    )
    layers: list[alt.Chart] = [line.add_params(picked()), points]
    if thin:
        seeds = shown(alt.Chart(alt.Data(values=thin))).mark_line(opacity=0.28, strokeWidth=0.9)
        detail = alt.Detail("seed:N")
        layers.insert(0, seeds.encode(x=x, y=y, order=order, color=colour(arms), detail=detail))
    if levels:
        at = alt.Chart(alt.Data(values=[{"average": level} for level in levels]))
        layers.insert(0, at.mark_rule(strokeDash=[4, 4], opacity=0.6, color="#888").encode(x="average:Q"))
    return alt.layer(*layers).add_params(hidden())
