"""The panels, each one Vega-Lite specification that page, PNG and PDF share."""

from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

from abcgrpo.report.quadrants import QUADRANTS
from abcgrpo.report.style import HEIGHT, WIDTH, colour, dash, hidden, picked, shape, shown, zoom
from abcgrpo.report.tables import metric_title
from abcgrpo.report.training import LENGTH
from abcgrpo.run_files import ZERO_VARIANCE

MOST_POINTS = 240
"""Of a line: longer logs are drawn as means of equal stretches."""
MOST_BANDS = 2
"""More bands than these cover one another."""
TARGETS = 60
"""Of a line: points that the pointer can meet. They are not seen."""
SMOOTHED_PART = 30
"""A running mean covers this part of the run: one thirtieth."""


Drawing = alt.Chart | alt.LayerChart | alt.FacetChart
"""What Altair calls a chart; which of them only it knows."""


@dataclass(frozen=True)
class Panel:
    """A figure: the name of its files, its title, what it shows in words, the place on the page, and the drawing."""

    name: str
    title: str
    caption: str
    section: str
    chart: Drawing
    height: int = HEIGHT
    extent: tuple[float, float] | None = None
    """Of the x axis, where it can be zoomed."""

    def specification(self) -> dict[str, Any]:
        """Vega-Lite, with the title in it."""
        title = alt.TitleParams(self.title, anchor="start", fontSize=14, offset=8)
        return self.chart.properties(title=title, width=WIDTH, height=self.height).configure_view(stroke=None).to_dict()


def panels(summary: dict[str, Any]) -> list[Panel]:
    """All panels that there are data for: three for each benchmark, then training, then clip events."""
    training = [
        _logged(summary, "entropy", "Entropy", "entropy (nats per token)", "entropy"),
        _logged(summary, "reward", "Training reward", "mean reward", "reward"),
        _clip_shares(summary),
        _clip_fractions(summary),
        _logged(summary, LENGTH, "Response length", "tokens", "response_length"),
        _logged(summary, ZERO_VARIANCE, "Groups without variance", "share of groups", "zero_variance"),
    ]
    scores = [panel for benchmark in summary["benchmarks"] for panel in _scores(summary, benchmark)]
    return [*scores, *(panel for panel in training if panel)]


def panel_metrics(columns: list[str]) -> dict[str, str]:
    """The three columns that have panels, by the name of the file: Avg@k, Pass@k at the largest k and at half of it."""
    average, *passes = columns
    named = {"avg_at_k": average} | ({"pass_at_k_large": passes[-1]} if passes else {})
    return named | ({"pass_at_k_middle": passes[-2]} if len(passes) > 1 else {})


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
                    extent=_extent(rows),
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
        x=_steps(), y=alt.Y("low:Q", title=title, axis=alt.Axis(format="%")), y2="high:Q", color=colour(arms)
    )
    line = chart.mark_line(strokeWidth=2.5).encode(x=_steps(), y=y, color=colour(arms), strokeDash=dash(arms))
    points = chart.mark_point(size=60, filled=True, opacity=1).encode(
        x=_steps(), y=y, color=colour(arms), shape=shape(arms), tooltip=tooltip
    )
    layers = [line.add_params(picked()), points.add_params(zoom())]
    if seeds:
        layers.insert(0, _thin_lines(arms, seeds, y))
    if len(arms) <= MOST_BANDS:
        layers.insert(0, band)
    return alt.layer(*layers).add_params(hidden())


def _thin_lines(arms: list[str], rows: list[dict], y: alt.Y) -> alt.Chart:
    """One line for each seed."""
    chart = shown(alt.Chart(alt.Data(values=rows)))
    return chart.mark_line(opacity=0.28, strokeWidth=0.9).encode(
        x=_steps(), y=y, color=colour(arms), detail=alt.Detail("seed:N")
    )


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
            faint_rows += _line(at, running_mean(of, window), arm, seed)
        if not seeds:
            faint_rows += _line(steps, values, arm, "logged")
    if not mean_rows:
        return None
    y = alt.Y("value:Q", title=axis, scale=alt.Scale(zero=False))
    line = shown(alt.Chart(alt.Data(values=mean_rows)))
    line = line.mark_line(strokeWidth=2.2).encode(x=_steps(), y=y, color=colour(arms), strokeDash=dash(arms))
    tooltip = [alt.Tooltip("arm:N"), alt.Tooltip("step:Q", format=".0f"), alt.Tooltip("value:Q", format=".4~f")]
    target = targets(mean_rows).encode(x=_steps(), y=y, tooltip=tooltip)
    thin = _thin_lines(arms, faint_rows, y)
    width = max(windows)
    smoothed = f"Running mean of {width} logged steps" if width > 1 else "As logged"
    return Panel(
        name=name,
        title=title,
        caption=f"{smoothed}{', mean over seeds; thin lines: single seeds' if several else '; faint: as logged'}.",
        section="training",
        chart=alt.layer(thin, line.add_params(picked()), target.add_params(zoom())).add_params(hidden()),
        extent=_extent(mean_rows),
    )


def targets(rows: list[dict[str, Any]]) -> alt.Chart:
    """Points that are not seen, for the pointer to meet: a thin line is hard to hit."""
    by_arm: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_arm.setdefault(row["arm"], []).append(row)
    kept = [row for each in by_arm.values() for row in each[:: max(1, len(each) // TARGETS)]]
    return shown(alt.Chart(alt.Data(values=kept))).mark_point(size=140, opacity=0)


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of the window's values around each, of fewer at the ends."""
    kernel = np.ones(window)
    return (
        np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")
        if len(values) >= window
        else values
    )


def _line(steps: np.ndarray, values: np.ndarray, arm: str, seed: str | None = None) -> list[dict[str, Any]]:
    """Rows of a line, thinned to a number that a page can draw."""
    if len(steps) > MOST_POINTS:
        parts = np.array_split(np.arange(len(steps)), MOST_POINTS)
        steps = np.array([steps[part[-1]] for part in parts])
        values = np.array([values[part].mean() for part in parts])
    rows = [
        {"arm": arm, "step": int(step), "value": float(f"{value:.6g}")}
        for step, value in zip(steps, values, strict=True)
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


def _steps() -> alt.X:
    return alt.X("step:Q", title="optimizer step", axis=alt.Axis(tickCount=6, tickMinStep=1, grid=False))


def _extent(rows: list[dict[str, Any]]) -> tuple[float, float]:
    steps = [row["step"] for row in rows]
    return min(steps), max(steps)
