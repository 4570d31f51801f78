"""`report.md` and `report.tex`."""

from typing import Any

from abcgrpo.report.content.comparison import between_arms
from abcgrpo.report.drawing.panel import Panel
from abcgrpo.report.text.markup import markdown as markdown_table
from abcgrpo.report.text.markup import tabular
from abcgrpo.report.text.tables import (
    COMPARISON_COLUMNS,
    ENTROPY_COLUMNS,
    LOG_COLUMNS,
    about_lines,
    comparison_rows,
    condition_tables,
    difference_cell,
    entropy_rows,
    log_rows,
    metric_names,
    rows,
)
from abcgrpo.report.wording import metric_title

READING_CLIP_EVENTS = (
    "A clip event is a token whose importance ratio r left 0.8 … 1.2, whichever rule was trained. Q1: Â > 0, r high; "
    "Q2: Â > 0 and r low; Q3: Â < 0 and r low; Q4: Â < 0 and r high. GRPO clips in Q1 and Q3 and leaves Q2 and Q4 "
    "open; four boundaries clip in all of them. A tall Q4 means that many tokens of failed answers have become more "
    "likely since the rollout: GRPO pushes those down without a bound. Steps without an event (the first after a "
    "rollout, where r = 1) are left out."
)


def markdown(summary: dict[str, Any], panels: list[Panel]) -> str:
    """The report for a terminal, an issue or a README: verdict, tables, notes, panels."""
    about = " · ".join(f"{term}: {text}" for term, text in about_lines(summary))
    parts = [f"# {summary['title']}", about]
    if summary["conditions"]:
        parts += ["## When does the rule matter?", _list(summary["conditions"]["sentences"]), *_conditions(summary)]
    parts += ["## Verdict", _list(summary["verdict"])]
    if summary["missing"]:
        parts += ["## Missing", _list(summary["missing"])]
    if summary["benchmarks"]:
        titles = ["", "", *map(metric_title, metric_names(summary))]
        lines = [[row.benchmark, row.name, *row.cells] for row in rows(summary)]
        parts += ["## Results", "% right, with 95% intervals.", markdown_table(titles, lines)]
    if between_arms(summary):
        parts += ["## Comparisons", markdown_table(COMPARISON_COLUMNS, comparison_rows(summary))]
    if summary["another_rule"]:
        parts += ["## Would another rule have mattered?", _list(summary["another_rule"])]
    if lines := entropy_rows(summary):
        parts += ["## Entropy at the end", markdown_table(ENTROPY_COLUMNS, lines), summary["entropy_rule"]]
    if lines := [[arm, *cells] for arm, cells in log_rows(summary)]:
        parts += ["## Training", markdown_table(["", *LOG_COLUMNS], lines), READING_CLIP_EVENTS]
    if summary["configuration"]:
        arms = list(next(iter(summary["configuration"].values())))
        lines = [[name, *(_value(by[arm]) for arm in arms)] for name, by in summary["configuration"].items()]
        parts += ["## Where the arms' configurations differ", markdown_table(["", *arms], lines)]
    if summary["metrics_not_read"]:
        lines = [f"{arm}: {', '.join(names)}" for arm, names in summary["metrics_not_read"].items()]
        parts += ["## Logged, and in no table or figure", "`metrics.csv` has their values.", _list(lines)]
    if summary["notes"]:
        parts += ["## Notes", _list(summary["notes"])]
    parts += [f"![{panel.title}](figures/{panel.name}.png)" for panel in panels]
    return "\n\n".join(parts) + "\n"


def latex(summary: dict[str, Any]) -> str:
    """The table in the paper's layout; of training logs alone, what they tell of each arm."""
    if summary["benchmarks"]:
        titles = ["Benchmark", "Method", *map(metric_title, metric_names(summary))]
        return tabular(titles, [[row.benchmark, row.name, *row.cells] for row in rows(summary)], summary["notes"])
    lines = [["training", arm, *cells] for arm, cells in log_rows(summary)]
    return tabular(["", "Method", *LOG_COLUMNS], lines, summary["notes"])


def _conditions(summary: dict[str, Any]) -> list[str]:
    """The tables of differences by condition."""
    parts = []
    for table in condition_tables(summary):
        lines = [
            [arm, *("–" if each is None else f"{difference_cell(each)}: {each['verdict']}" for each in cells)]
            for arm, cells in table.rows.items()
        ]
        titles = ["", *summary["conditions"]["names"]]
        parts += [f"{table.title}, difference from {table.baseline} in points:", markdown_table(titles, lines)]
    return parts


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {' '.join(line.split())}" for line in lines)


def _value(value: Any) -> str:
    return "default" if value is None else str(value)
