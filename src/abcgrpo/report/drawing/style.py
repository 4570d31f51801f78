"""How arms are told apart, in every figure: by colour, by dash and by marker."""

from itertools import cycle, islice
from typing import Any

import altair as alt

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#9A7400", "#7F8790")
"""After Okabe and Ito, told apart by colour-blind readers; each is legible on white and on black (contrast ≥ 2.9)."""
DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [12, 4], [4, 4, 1, 4], [1, 3])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
HIDDEN = "hidden"
"""The parameter of every figure that lists the arms which are not shown."""
ZOOM = "zoom"
"""The parameter that holds the visible range."""
WIDTH, HEIGHT = 360, 230


def look(arms: list[str]) -> dict[str, dict[str, Any]]:
    """By arm: `colour`, `dash` and `shape`. Six colours and seven dashes make 42 arms before two are alike."""

    def of(values: tuple) -> list:
        return list(islice(cycle(values), len(arms)))

    return {
        arm: {"colour": colour, "dash": dash, "shape": shape}
        for arm, colour, dash, shape in zip(arms, of(COLOURS), of(DASHES), of(SHAPES), strict=True)
    }


def colour(names: list[str], field: str = "arm", columns: int = 2, width: int = 220) -> alt.Color:
    """The colour of an arm, or of what else a field names, with a legend of so many columns of so many pixels."""
    scale = alt.Scale(domain=names, range=[each["colour"] for each in look(names).values()])
    legend = alt.Legend(orient="bottom", symbolOpacity=1, symbolSize=120, columns=columns, labelLimit=width)
    return alt.Color(f"{field}:N", title=None, scale=scale, legend=legend)


def dash(names: list[str], field: str = "arm") -> alt.StrokeDash:
    """The dash of an arm, or of what else a field names, in the legend of the colour."""
    scale = alt.Scale(domain=names, range=[each["dash"] for each in look(names).values()])
    return alt.StrokeDash(f"{field}:N", title=None, scale=scale)


def shape(arms: list[str]) -> alt.Shape:
    """The arm's marker."""
    scale = alt.Scale(domain=arms, range=[each["shape"] for each in look(arms).values()])
    return alt.Shape("arm:N", title=None, scale=scale)


def hidden() -> alt.Parameter:
    """The arms that the reader has taken out; none at first."""
    return alt.param(name=HIDDEN, value=[])


def shown(chart: alt.Chart) -> alt.Chart:
    """The chart without the rows of hidden arms."""
    return chart.transform_filter(f"indexof({HIDDEN}, datum.arm) < 0")


def zoom() -> alt.Parameter:
    """Drag to move along x; the wheel zooms while Shift or Control is held, so that the page still scrolls."""
    held = "wheel![event.shiftKey || event.ctrlKey || event.metaKey]"
    return alt.selection_interval(name=ZOOM, encodings=["x"], bind="scales", zoom=held)


def picked() -> alt.Parameter:
    """Makes the legend's entries clickable; what a click does is the page's."""
    return alt.selection_point(name="picked", fields=["arm"], bind="legend")
