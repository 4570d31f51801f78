"""The table in the paper's layout, for the terminal, for Markdown, for LaTeX and for the page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from abcgrpo.run_files import BASE

AVERAGE = "average"


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    benchmark: str
    name: str
    cells: list[str]
    """Value and interval, or a dash, for each column."""
    is_gain: bool = False
    """Whether it is a difference."""


def percent(value: float | None, sign: bool = False) -> str:
    """A share as percentage points; a dash where there is none."""
    return "–" if value is None else f"{100 * value:{'+z' if sign else 'z'}.1f}".replace("-", "−")


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


def metric_names(summary: dict[str, Any]) -> list[str]:
    """The columns, in order; the same for every benchmark."""
    return next((list(each["columns"]) for each in summary["benchmarks"].values()), [])


def rows(summary: dict[str, Any]) -> list[Row]:
    """Benchmark by benchmark the base, the arms, and each arm's gain; the averages last, where there are several.

    Gains are those of `comparisons`: over the base, then over the first arm.
    """
    names = metric_names(summary)
    found = []
    for benchmark in summary["benchmarks"]:
        for name, by_benchmark in _sides(summary):
            scores = (by_benchmark or {}).get(benchmark)
            if scores or name != BASE:
                found.append(Row(benchmark, name, [cell((scores or {}).get(column)) for column in names]))
        for title, by_metric in _gains(summary, benchmark).items():
            cells = [cell(by_metric.get(column), sign=True) for column in names]
            found.append(Row(benchmark, title, cells, is_gain=True))
    if len(summary["benchmarks"]) > 1:
        found += _averages(summary, names)
    return found


def _sides(summary: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any] | None]]:
    yield BASE, summary["base"]
    for arm, content in summary["arms"].items():
        yield arm, content["evaluation"]


def between_arms(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The comparisons of arms with the first arm, without those with the base."""
    return [each for each in summary["comparisons"] if each["baseline"] != BASE]


def _gains(summary: dict[str, Any], benchmark: str) -> dict[str, dict[str, dict[str, Any]]]:
    """The differences on a benchmark, those from the base first: title → metric → value, low and high."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for each in sorted(summary["comparisons"], key=lambda each: each["baseline"] != BASE):
        if each["measured_on"] == benchmark:
            under = f", {each['condition']}" if each["condition"] else ""
            title = f"{each['arm']} − {each['baseline']}{under}"
            interval = {"value": each["difference"], "low": each["low"], "high": each["high"]}
            found.setdefault(title, {})[each["metric"]] = interval
    return found


def _averages(summary: dict[str, Any], names: list[str]) -> list[Row]:
    """The mean of each column over the benchmarks, for those that were measured on all of them."""
    found = []
    for name, by_benchmark in _sides(summary):
        scores = [(by_benchmark or {}).get(benchmark) for benchmark in summary["benchmarks"]]
        if all(scores):
            means = [sum(each[column]["value"] for each in scores if each) / len(scores) for column in names]
            found.append(Row(AVERAGE, name, [percent(value) for value in means]))
    return found


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


LOG_COLUMNS = (
    "seeds",
    "steps",
    "final entropy",
    "final reward",
    "tokens",
    "groups without variance",
    "Q1",
    "Q2",
    "Q3",
    "Q4",
)


def log_rows(summary: dict[str, Any]) -> Iterable[tuple[str, list[str]]]:
    """What the logs tell of each arm: a cell for each of `LOG_COLUMNS`; nothing where there is no log at all."""
    if not any(content["metrics"] for content in summary["arms"].values()):
        return
    for arm, content in summary["arms"].items():
        finals = [number(content[name]["final"]) for name in ("entropy", "reward")]
        length = content["response_length"]["final"]
        shares = [percent(content["clip_share"][quadrant]) for quadrant in ("q1", "q2", "q3", "q4")]
        yield (
            arm,
            [
                str(len(content["seeds"])),
                str(content["steps"]),
                *finals,
                "–" if length is None else f"{length:.0f}",
                number(content["zero_variance_fraction"]["mean"]),
                *shares,
            ],
        )


def number(value: float | None) -> str:
    """Three digits after the point; a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"


def _log_table(summary: dict[str, Any]) -> Table:
    table = Table(title=f"{summary['title']}: training logs; shares of clip events in %", title_justify="left")
    for title in ("", *LOG_COLUMNS):
        table.add_column(title, justify="right" if title else "left")
    for arm, cells in log_rows(summary):
        table.add_row(arm, *cells)
    return table


def markdown(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"

    return "\n".join([line(titles), "|" + "---|" * len(titles), *map(line, lines)])


def tabular(titles: Sequence[str], lines: Iterable[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """A LaTeX `tabular` for the booktabs package, notes as comments. The first cell heads a block of lines.

    A block begins where the first cell changes, and shows it once. Intervals are in smaller type.
    """
    texts = 2
    out = [f"% {' '.join(note.split())}" for note in notes]
    out += [r"\begin{tabular}{" + "l" * texts + "r" * (len(titles) - texts) + "}", r"\toprule"]
    out += [" & ".join(map(latex_text, titles)) + r" \\", r"\midrule"]
    before = None
    for first, *rest in lines:
        if before not in (None, first):
            out.append(r"\midrule")
        shown = ["" if first == before else latex_text(first), latex_text(rest[0]), *map(latex_cell, rest[1:])]
        out.append(" & ".join(shown) + r" \\")
        before = first
    return "\n".join([*out, r"\bottomrule", r"\end{tabular}", ""])


def latex_cell(cell: str) -> str:
    """Value and interval; the en dash of an empty cell as TeX has it."""
    value, _, interval = cell.partition(" ")
    shown = latex_text(value).replace("–", "--")
    return f"{shown} {{\\scriptsize {latex_text(interval)}}}" if interval else shown


def latex_text(text: str) -> str:
    """Text with TeX's own characters escaped."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$"}
    special |= {character: f"\\{character}" for character in "&%$#_{}"}
    return "".join(special.get(character, character) for character in text)
