"""The tables that a terminal shows."""

from typing import Any

from rich.table import Table

from abcgrpo.report.text.tables import (
    COMPARISON_COLUMNS,
    LOG_COLUMNS,
    Row,
    comparison_rows,
    log_rows,
    metric_names,
    rows,
)
from abcgrpo.report.wording import metric_title


def terminal_table(summary: dict[str, Any]) -> Table:
    """One line per row and metric would be long: intervals for Avg@k and the largest k, values between.

    Training logs alone have no such metrics: then what they tell of each arm.
    """
    names = metric_names(summary)
    if not names:
        return _log_table(summary)
    table = Table(title=f"{summary['title']}: % right, with 95% intervals", title_justify="left")
    several = len(summary["benchmarks"]) > 1
    for title in ["", ""] if several else [""]:
        table.add_column(title)
    for name in names:
        table.add_column(metric_title(name), justify="right")
    before: Row | None = None
    for row in rows(summary):
        if before and (row.benchmark != before.benchmark or row.is_gain != before.is_gain):
            table.add_section()
        shown = [each if at in (0, len(names) - 1) else each.partition(" ")[0] for at, each in enumerate(row.cells)]
        first = "" if before and row.benchmark == before.benchmark else row.benchmark
        table.add_row(*([first] if several else []), row.name, *shown)
        before = row
    return table


def _log_table(summary: dict[str, Any]) -> Table:
    table = Table(title=f"{summary['title']}: training logs; shares of clip events in %", title_justify="left")
    for title in ("", *LOG_COLUMNS):
        table.add_column(title, justify="right" if title else "left")
    for arm, cells in log_rows(summary):
        table.add_row(arm, *cells)
    return table


def terminal_comparisons(summary: dict[str, Any]) -> Table | None:
    """The comparisons that verdicts are given on; None where there are none."""
    family = [each for each in summary["comparisons"] if each["in_family"]]
    if not family:
        return None
    table = Table(title="Against the first arm, in points: 95% intervals, p over seeds", title_justify="left")
    for title in COMPARISON_COLUMNS:
        table.add_column(title, justify="right" if title else "left")
    for cells in comparison_rows({"comparisons": family}):
        table.add_row(*cells)
    return table
