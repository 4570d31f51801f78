"""The table, for the terminal and for Markdown."""

from collections.abc import Iterable
from typing import Any

from rich.table import Table


def percent(value: float | None, sign: bool = False) -> str:
    """A share as percentage points; a dash where there is none."""
    return "–" if value is None else f"{100 * value:{'+z' if sign else 'z'}.1f}"


def cell(interval: dict[str, float | None] | None, sign: bool = False) -> str:
    """Value and interval, in percentage points."""
    if interval is None:
        return "–"
    if interval["low"] is None:
        return percent(interval["value"], sign)
    return f"{percent(interval['value'], sign)} [{percent(interval['low'], sign)}, {percent(interval['high'], sign)}]"


def metric_title(name: str) -> str:
    """`avg@64` → `Avg@64`."""
    return name[0].upper() + name[1:]


def rows(summary: dict[str, Any]) -> Iterable[tuple[str, list[str]]]:
    """The table's rows: name and a cell for each metric. The base, the arms, then the differences."""
    metrics = metric_names(summary)
    if summary["base"]:
        yield "base", [cell(summary["base"]["evaluation"][name]) for name in metrics]
    for arm, content in summary["arms"].items():
        evaluation = content["evaluation"] or {}
        yield arm, [cell(evaluation.get(name)) for name in metrics]
    for difference in summary["differences"]:
        yield (
            f"{difference['arm']} − {difference['minus']}",
            [cell(difference[name], sign=True) for name in metrics],
        )


def metric_names(summary: dict[str, Any]) -> list[str]:
    """The columns, in order."""
    return [f"avg@{max(summary['pass_at_k'])}", *(f"pass@{k}" for k in summary["pass_at_k"])]


def terminal_table(summary: dict[str, Any]) -> Table:
    """One line per row and metric would be long: values with intervals for Avg@k and the largest k, values between."""
    names = metric_names(summary)
    table = Table(title=f"{summary['title']}: % right, with 95% intervals", title_justify="left")
    table.add_column("")
    for name in names:
        table.add_column(metric_title(name), justify="right")
    for name, cells in rows(summary):
        shown = [each if index in (0, len(cells) - 1) else each.partition(" ")[0] for index, each in enumerate(cells)]
        table.add_row(name, *shown, end_section=name == list(summary["arms"])[-1])
    return table


def markdown_table(summary: dict[str, Any]) -> str:
    """The same, every interval written out."""
    names = [metric_title(name) for name in metric_names(summary)]
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows(summary)]
    return "\n".join(lines)
