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
    comparison_rows,
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
    parts = [f"# {summary['title']}", "## Verdict", _list(summary["verdict"])]
    if summary["missing"]:
        parts += ["## Missing", _list(summary["missing"])]
    if summary["benchmarks"]:
        titles = ["", "", *map(metric_title, metric_names(summary))]
        lines = [[row.benchmark, row.name, *row.cells] for row in rows(summary)]
        parts += ["## Results", "% right, with 95% intervals.", markdown_table(titles, lines)]
    if between_arms(summary):
        parts += ["## Comparisons", markdown_table(COMPARISON_COLUMNS, comparison_rows(summary))]
    if lines := entropy_rows(summary):
        parts += ["## Entropy at the end", markdown_table(ENTROPY_COLUMNS, lines), summary["entropy_rule"]]
    if lines := [[arm, *cells] for arm, cells in log_rows(summary)]:
        parts += ["## Training", markdown_table(["", *LOG_COLUMNS], lines), READING_CLIP_EVENTS]
    if summary["configuration"]:
        arms = list(next(iter(summary["configuration"].values())))
        lines = [[name, *(_value(by[arm]) for arm in arms)] for name, by in summary["configuration"].items()]
        parts += ["## Where the arms' configurations differ", markdown_table(["", *arms], lines)]
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


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {' '.join(line.split())}" for line in lines)


def _value(value: Any) -> str:
    return "default" if value is None else str(value)
