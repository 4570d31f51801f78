"""How figures are written: shares as percentage points, intervals, the titles of metrics."""

from typing import Any


def percent(value: float | None, sign: bool = False) -> str:
    """A share as percentage points; a dash if there is none."""
    return "–" if value is None else f"{100 * value:{'+z' if sign else 'z'}.1f}".replace("-", "−")


def two_digits(share: float | None) -> str:
    """A share in percent to two significant digits: `0.0095%`, `12%`."""
    return "an unknown share" if share is None else f"{float(f'{100 * share:.2g}'):g}%"


def cell(interval: dict[str, Any] | None, sign: bool = False) -> str:
    """Value and interval, in percentage points."""
    if interval is None:
        return "–"
    if interval["low"] is None:
        return percent(interval["value"], sign)
    return f"{percent(interval['value'], sign)} [{percent(interval['low'], sign)}, {percent(interval['high'], sign)}]"


def metric_title(name: str) -> str:
    """`avg@64` → `Avg@64`."""
    return name[0].upper() + name[1:]


def number(value: float | None) -> str:
    """Three digits after the point; a dash if there is none."""
    return "–" if value is None else f"{value:.3f}"


def listed(names: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
