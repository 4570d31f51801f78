"""What every figure is: a panel, with the parts that several kinds of them share."""

from dataclasses import dataclass
from typing import Any

import altair as alt

from abcgrpo.report.drawing.style import HEIGHT, WIDTH, colour, shown

TARGETS = 60
"""Invisible points of a line, which the pointer can meet."""

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
    """Limits of the x axis, if it can be zoomed."""

    def specification(self) -> dict[str, Any]:
        """Vega-Lite, with the title in it."""
        title = alt.TitleParams(self.title, anchor="start", fontSize=14, offset=8)
        return self.chart.properties(title=title, width=WIDTH, height=self.height).configure_view(stroke=None).to_dict()


def targets(rows: list[dict[str, Any]]) -> alt.Chart:
    """Points that are not seen, for the pointer to meet: a thin line is hard to hit."""
    by_arm: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_arm.setdefault(row["arm"], []).append(row)
    kept = [row for each in by_arm.values() for row in each[:: max(1, len(each) // TARGETS)]]
    return shown(alt.Chart(alt.Data(values=kept))).mark_point(size=140, opacity=0)


def thin_lines(arms: list[str], rows: list[dict], y: alt.Y) -> alt.Chart:
    """One line for each seed."""
    chart = shown(alt.Chart(alt.Data(values=rows)))
    return chart.mark_line(opacity=0.28, strokeWidth=0.9).encode(
        x=step_axis(), y=y, color=colour(arms), detail=alt.Detail("seed:N")
    )


def step_axis() -> alt.X:
    """The x axis of what goes on over training."""
    return alt.X("step:Q", title="optimizer step", axis=alt.Axis(tickCount=6, tickMinStep=1, grid=False))


def step_extent(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """The first and the last step."""
    present = [row["step"] for row in rows]
    return min(present), max(present)
