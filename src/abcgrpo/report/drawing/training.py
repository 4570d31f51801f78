"""What training logs tell over the steps, and where clip events lie."""

from typing import Any

import altair as alt
import numpy as np

from abcgrpo.event_shares import QUADRANTS
from abcgrpo.report.content.training import LENGTH, thinned
from abcgrpo.report.drawing.panel import Drawing, Panel, step_axis, step_extent, targets, thin_lines
from abcgrpo.report.drawing.style import colour, dash, hidden, picked, shown, zoom
from abcgrpo.run_files import ZERO_VARIANCE

MOST_POINTS = 240
"""Points of an arm's line: longer logs are drawn as means of equal stretches."""
MOST_POINTS_OF_A_SEED = 60
"""Points of the thin line of one seed among several: two for each stretch that its running mean covers."""
SMOOTHED_PART = 30
"""A running mean covers this part of the run: one thirtieth."""


def training_panels(summary: dict[str, Any]) -> list[Panel]:
    """All panels that the logs have data for: training, then clip events."""
    found = [
        _logged(summary, "entropy", "Entropy", "entropy (nats per token)", "entropy"),
        _logged(summary, "reward", "Training reward", "mean reward", "reward"),
        _clip_shares(summary),
        _clip_fractions(summary),
        _logged(summary, LENGTH, "Response length", "tokens", "response_length"),
        _logged(summary, ZERO_VARIANCE, "Groups without variance", "share of groups", "zero_variance"),
    ]
    return [panel for panel in found if panel]


def _logged(summary: dict[str, Any], metric: str, title: str, axis: str, name: str) -> Panel | None:
    """A metric of the training logs: the running mean over the steps, and faint what it is the mean of."""
    arms = list(summary["arms"])
    mean_rows: list[dict[str, Any]] = []
    faint_rows: list[dict[str, Any]] = []
    windows = set()
    several = False
    for arm in arms:
        points = summary["series"][arm].get(metric, [])
        steps = np.array([point["step"] for point in points])
        values = np.array([point["value"] for point in points])
        window = max(1, len(points) // SMOOTHED_PART) | 1
        windows.add(window)
        mean_rows += _line(steps, running_mean(values, window), arm)
        seeds = sorted({seed for point in points for seed in point.get("seeds", {})})
        several = several or len(seeds) > 1
        for seed in seeds:
            own = [(point["step"], point["seeds"][seed]) for point in points if seed in point["seeds"]]
            at, of = np.array(own).T
            faint_rows += _line(at, running_mean(of, window), arm, seed, most=MOST_POINTS_OF_A_SEED)
        if not seeds and window > 1:
            faint_rows += _line(steps, values, arm, "logged")
    if not mean_rows:
        return None
    y = alt.Y("value:Q", title=axis, scale=alt.Scale(zero=False))
    line = shown(alt.Chart(alt.Data(values=mean_rows)))
    line = line.mark_line(strokeWidth=2.2).encode(x=step_axis(), y=y, color=colour(arms), strokeDash=dash(arms))
    tooltip = [alt.Tooltip("arm:N"), alt.Tooltip("step:Q", format=".0f"), alt.Tooltip("value:Q", format=".4~f")]
    target = targets(mean_rows).encode(x=step_axis(), y=y, tooltip=tooltip)
    thin = thin_lines(arms, faint_rows, y)
    width = max(windows)
    smoothed = f"Running mean of {width} logged steps" if width > 1 else "As logged"
    faint = ", mean over seeds; thin lines: single seeds" if several else "; faint: as logged" if width > 1 else ""
    return Panel(
        name=name,
        title=title,
        caption=f"{smoothed}{faint}.",
        section="training",
        chart=alt.layer(thin, line.add_params(picked()), target.add_params(zoom())).add_params(hidden()),
        extent=step_extent(mean_rows),
    )


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of the window's values around each, of fewer at the ends."""
    kernel = np.ones(window)
    return (
        np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")
        if len(values) >= window
        else values
    )


def _line(
    steps: np.ndarray, values: np.ndarray, arm: str, seed: str | None = None, *, most: int = MOST_POINTS
) -> list[dict[str, Any]]:
    """Rows of a line, thinned to a number that a page can draw."""
    rows = [
        {"arm": arm, "step": int(step), "value": float(f"{value:.6g}")}
        for step, value in zip(*thinned(steps, values, most), strict=True)
    ]
    return rows if seed is None else [row | {"seed": seed} for row in rows]


def _clip_shares(summary: dict[str, Any]) -> Panel | None:
    """Where clip events lie: each quadrant's share of them."""
    chart = _quadrant_bars(summary, "clip_share", "share of a step's clip events", ".0%", ".1%")
    several = any(len(content["seeds"]) > 1 for content in summary["arms"].values())
    caption = "Mean over the steps that have clip events." + (" Points: single seeds." if several else "")
    return chart and Panel("clip_events", "Clip events by quadrant", caption, "clip", chart)


def _clip_fractions(summary: dict[str, Any]) -> Panel | None:
    """How frequent clip events are: each quadrant's events over all tokens."""
    chart = _quadrant_bars(summary, "clip_fraction", "share of all completion tokens", ".2%", ".3%")
    caption = "Mean over all logged steps. A quadrant without a bar is not in the arm's log."
    return chart and Panel("clip_fraction", "How many tokens are clip events", caption, "clip", chart)


def _quadrant_bars(
    summary: dict[str, Any], key: str, title: str, axis_format: str, tooltip_format: str
) -> Drawing | None:
    """A bar for each arm and quadrant, and a dot for each seed where there are several."""
    bars, dots = [], []
    for arm, content in summary["arms"].items():
        seeds = content[key].get("per_seed", {})
        for quadrant in QUADRANTS:
            row = {"arm": arm, "quadrant": quadrant.upper()}
            if content[key][quadrant] is not None:
                bars.append(row | {"share": content[key][quadrant]})
            if len(seeds) > 1:
                found = {seed: shares[quadrant] for seed, shares in seeds.items() if shares[quadrant] is not None}
                dots += [row | {"seed": seed, "share": share} for seed, share in found.items()]
    if not bars:
        return None
    arms = list(summary["arms"])
    x = alt.X("quadrant:N", title=None, axis=alt.Axis(labelAngle=0, labelFontSize=12))
    offset = alt.XOffset("arm:N", sort=arms)
    y = alt.Y("share:Q", title=title, axis=alt.Axis(format=axis_format))
    tooltip = [alt.Tooltip("arm:N"), alt.Tooltip("quadrant:N"), alt.Tooltip("share:Q", format=tooltip_format)]
    chart = shown(alt.Chart(alt.Data(values=bars))).mark_bar(cornerRadiusEnd=2)
    bar = chart.encode(x=x, xOffset=offset, y=y, color=colour(arms), tooltip=tooltip)
    layers = [bar.add_params(picked())]
    if dots:
        points = shown(alt.Chart(alt.Data(values=dots))).mark_point(size=14, filled=True, opacity=0.75, color="#888")
        layers.append(points.encode(x=x, xOffset=offset, y=y, tooltip=[*tooltip, alt.Tooltip("seed:N")]))
    return alt.layer(*layers).add_params(hidden())
