"""The tables that a terminal shows; they leave out what does not fit into its width, and never cut a figure."""

from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from abcgrpo.report.text.tables import LOG_COLUMNS, Row, difference_cell, log_rows, metric_names, p_value, rows
from abcgrpo.report.wording import metric_title

MOST_COMPARISONS = 6
"""That are said in words below the tables."""
LOG_COLUMNS_KEPT = ("final entropy", "final reward", "tokens", "Q1", "Q2", "Q3", "Q4")
"""Of the training logs' table, in a narrow terminal."""


def terminal_tables(summary: dict[str, Any], width: int) -> Iterator[Table]:
    """What every arm scored, or what training logs tell; then the comparisons that verdicts are given on.

    Args:
        summary: the content of `report.json`.
        width: of the terminal, in characters.
    """
    names = metric_names(summary)
    if names:
        yield _fitting([_scores(summary, names), _scores(summary, [*names[:1], *names[1:][-1:]])], width)
    else:
        yield _fitting([_logs(summary, LOG_COLUMNS), _logs(summary, LOG_COLUMNS_KEPT)], width)
    family = [each for each in summary["comparisons"] if each["in_family"]]
    for setting in dict.fromkeys(each["benchmark"] for each in family):
        yield _comparisons(setting, [each for each in family if each["benchmark"] == setting])


def terminal_sentences(summary: dict[str, Any]) -> list[str]:
    """What the report says in words. Comparisons that the tables have all of are left out where they are many."""
    conditions = summary["conditions"]["sentences"] if summary["conditions"] else []
    compared = {each["sentence"] for each in summary["comparisons"] if each["in_family"]}
    in_tables = compared if len(compared) > MOST_COMPARISONS else set()
    answers = [f"Would another rule have mattered? {sentence}" for sentence in summary["another_rule"]]
    verdict = [sentence for sentence in summary["verdict"] if sentence not in in_tables]
    return [*conditions, *verdict, *answers, *(f"Missing: {each}" for each in summary["missing"])]


def _fitting(tables: list[Table], width: int) -> Table:
    """The first one that fits; the last one where none does."""
    console = Console(width=10_000)
    return next(
        (each for each in tables if Measurement.get(console, console.options, each).maximum <= width), tables[-1]
    )


def _scores(summary: dict[str, Any], names: list[str]) -> Table:
    """Intervals for the first and the last metric, values between."""
    left_out = "; report.md has every metric" if len(names) < len(metric_names(summary)) else ""
    table = _table(f"{summary['title']}: % right, with 95% intervals{left_out}")
    several = len(summary["benchmarks"]) > 1
    for title in ["", ""] if several else [""]:
        table.add_column(title, overflow="fold")
    for name in names:
        table.add_column(metric_title(name), justify="right", no_wrap=True)
    at = [metric_names(summary).index(name) for name in names]
    before: Row | None = None
    for row in rows(summary):
        if before and (row.benchmark != before.benchmark or row.is_gain != before.is_gain):
            table.add_section()
        cells = [row.cells[index] for index in at]
        shown = [each if index in (0, len(at) - 1) else each.partition(" ")[0] for index, each in enumerate(cells)]
        first = "" if before and row.benchmark == before.benchmark else row.benchmark
        table.add_row(*([first] if several else []), row.name, *shown)
        before = row
    return table


def _logs(summary: dict[str, Any], columns: tuple[str, ...]) -> Table:
    table = _table(f"{summary['title']}: training logs; shares of clip events in %")
    table.add_column("", overflow="fold")
    for title in columns:
        table.add_column(title, justify="right")
    for arm, cells in log_rows(summary):
        table.add_row(arm, *(cells[LOG_COLUMNS.index(title)] for title in columns))
    return table


def _comparisons(setting: str, compared: list[dict[str, Any]]) -> Table:
    """Five of the columns that the page has: every figure and the verdict in 80 characters."""
    table = _table(f"{setting}: difference from {compared[0]['baseline']} in points, 95% intervals")
    table.add_column("", overflow="fold")
    for title in ("metric", "difference", "p (Holm)", "verdict"):
        table.add_column(title, justify="left" if title == "verdict" else "right", no_wrap=True)
    for each in compared:
        cells = metric_title(each["metric"]), difference_cell(each), p_value(each["p_value_holm"]), each["verdict"]
        table.add_row(each["arm"], *cells)
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
