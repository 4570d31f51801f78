"""The six panels, each one Vega-Lite specification that page, PNG and PDF share."""

from typing import Any

import altair as alt

from abcgrpo.report.summary import QUADRANTS
from abcgrpo.report.tables import metric_names, metric_title

# Okabe and Ito's palette: told apart by colour-blind readers, and legible on white and on black.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
SIZE = {"width": 340, "height": 220}


def panels(summary: dict[str, Any]) -> dict[str, alt.Chart | alt.LayerChart | alt.FacetChart]:
    """Figures by file name: Avg@k, Pass@k at two k, entropy, reward, clip events. One without data is left out."""
    average, *passes = metric_names(summary)
    middle, largest = passes[len(passes) // 2], passes[-1]
    drawn = {
        "avg_at_k": _evaluated(summary, average),
        "pass_at_k_large": _evaluated(summary, largest),
        "pass_at_k_middle": _evaluated(summary, middle) if middle != largest else None,
        "entropy": _logged(summary, "entropy", "Entropy", "nats per token"),
        "reward": _logged(summary, "reward", "Training reward", "mean reward"),
        "clip_events": _quadrants(summary),
    }
    return {name: chart.properties(**SIZE) for name, chart in drawn.items() if chart is not None}


def _colour(summary: dict[str, Any]) -> alt.Color:
    arms = list(summary["arms"])
    scale = alt.Scale(domain=arms, range=COLOURS[: len(arms)])
    return alt.Color("arm:N", title=None, scale=scale, legend=alt.Legend(orient="bottom", symbolOpacity=1))


def _points(summary: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [{"arm": arm} | point for arm, series in summary["series"].items() for point in series.get(name, [])]


def _steps() -> alt.X:
    return alt.X("step:Q", title="optimizer step", axis=alt.Axis(tickCount=6, tickMinStep=1))


def _evaluated(summary: dict[str, Any], metric: str) -> alt.LayerChart | alt.FacetChart | None:
    points = _points(summary, metric)
    if not points:
        return None
    title = metric_title(metric)
    tooltip = [
        "arm:N",
        "step:Q",
        *(alt.Tooltip(f"{part}:Q", format=".1%") for part in ("value", "low", "high")),
    ]
    chart = alt.Chart(alt.Data(values=points), title=f"{title} of the checkpoints, 95% over questions")
    percent = alt.Axis(format="%")
    band = chart.mark_area(opacity=0.15).encode(
        x=_steps(), y=alt.Y("low:Q", title=title, axis=percent), y2="high:Q", color=_colour(summary)
    )
    line = chart.mark_line(point=True).encode(
        x=_steps(), y=alt.Y("value:Q", scale=alt.Scale(zero=False)), color=_colour(summary), tooltip=tooltip
    )
    return band + line


def _logged(summary: dict[str, Any], metric: str, title: str, axis: str) -> alt.LayerChart | alt.FacetChart | None:
    """The value of every logging step, faint, under its running mean: single points are noisy."""
    points = _points(summary, metric)
    if not points:
        return None
    chart = alt.Chart(alt.Data(values=points), title=f"{title}, running mean of 9 points")
    faint = chart.mark_line(opacity=0.2, strokeWidth=1).encode(
        x=_steps(), y=alt.Y("value:Q", title=axis, scale=alt.Scale(zero=False)), color=_colour(summary)
    )
    smooth = (
        chart.transform_window(mean="mean(value)", frame=[-4, 4], groupby=["arm"], sort=[alt.SortField("step")])
        .mark_line()
        .encode(
            x=_steps(),
            y="mean:Q",
            color=_colour(summary),
            tooltip=[
                "arm:N",
                "step:Q",
                alt.Tooltip("value:Q", format=".4f"),
                alt.Tooltip("mean:Q", format=".4f"),
            ],
        )
    )
    return faint + smooth


def _quadrants(summary: dict[str, Any]) -> alt.Chart | None:
    bars = [
        {"arm": arm, "quadrant": quadrant.upper(), "share": content["clip_share"][quadrant]}
        for arm, content in summary["arms"].items()
        for quadrant in QUADRANTS
        if content["clip_share"][quadrant] is not None
    ]
    if not bars:
        return None
    return (
        alt.Chart(alt.Data(values=bars), title="Clip events by quadrant, share of a step's events")
        .mark_bar()
        .encode(
            x=alt.X("quadrant:N", title=None, axis=alt.Axis(labelAngle=0)),
            xOffset=alt.XOffset("arm:N", sort=list(summary["arms"])),
            y=alt.Y("share:Q", title="mean share", axis=alt.Axis(format="%")),
            color=_colour(summary),
            tooltip=["arm:N", "quadrant:N", alt.Tooltip("share:Q", format=".1%")],
        )
    )
