"""`report.md` and `report.tex`."""

from typing import Any

from rich.table import Table

from abcgrpo.report.claims import figure_text, stated_text
from abcgrpo.report.figures import Panel
from abcgrpo.report.tables import (
    LOG_COLUMNS,
    between_arms,
    log_rows,
    metric_names,
    metric_title,
    percent,
    rows,
    tabular,
)
from abcgrpo.report.tables import markdown as markdown_table

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
    if summary["published_claims"]:
        parts += ["## Published claims", *_claims(summary["published_claims"])]
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


COMPARISON_COLUMNS = ("", "", "metric", "difference", "p", "p (Holm)", "P(better)", "detectable", "seeds", "verdict")


def comparison_rows(summary: dict[str, Any], in_family: bool | None = None) -> list[list[str]]:
    """A row for each comparison of arms; differences and the detectable effect in percentage points.

    Args:
        summary: the report's content.
        in_family: only those that verdicts are given on (True), only the others (False), or all.
    """
    return [
        [
            each["benchmark"],
            f"{each['arm']} − {each['baseline']}",
            metric_title(each["metric"]),
            f"{percent(each['difference'], True)} [{percent(each['low'], True)}, {percent(each['high'], True)}]",
            _p(each["p_value"]),
            _p(each["p_value_holm"]),
            _two(each["probability_of_improvement"]),
            percent(each["detectable_effect"]),
            _seeds(each["seeds"]),
            each["verdict"],
        ]
        for each in between_arms(summary)
        if in_family in (None, each["in_family"])
    ]


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


def _claims(claims: dict[str, Any]) -> list[str]:
    models = list(claims["models"])
    lines = []
    for claim in claims["checkable"]:
        cells = [figure_text(claim, claim["found"][model]) for model in models]
        lines.append([f"{claim['claim']} ({claim['place']})", stated_text(claim), *cells, claim["definition"]])
    unchecked = [f"{each['claim']}: {each['reason']}." for each in claims["uncheckable"]]
    table = markdown_table([claims["paper"], "stated", *models, "derived as"], lines)
    return [table, *claims["remarks"], "What the logs cannot check:", _list(unchecked)]


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {' '.join(line.split())}" for line in lines)


def _value(value: Any) -> str:
    return "default" if value is None else str(value)


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _seeds(value: Any) -> str:
    return str(len(value)) if isinstance(value, list) else str(value)
