"""The tables of a report, as rows of cells: for the terminal, for Markdown, for LaTeX and for the page."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from abcgrpo.event_shares import QUADRANTS
from abcgrpo.report.content.comparison import between_arms
from abcgrpo.report.wording import cell, metric_title, number, percent
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
            found.append(Row(benchmark, title, [by_metric.get(column, "–") for column in names], is_gain=True))
    if len(summary["benchmarks"]) > 1:
        found += _averages(summary, names)
    return found


def _sides(summary: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any] | None]]:
    yield BASE, summary["base"]
    for arm, content in summary["arms"].items():
        yield arm, content["evaluation"]


def _gains(summary: dict[str, Any], benchmark: str) -> dict[str, dict[str, str]]:
    """The differences on a benchmark, those from the base first: title → metric → cell."""
    found: dict[str, dict[str, str]] = {}
    for each in sorted(summary["comparisons"], key=lambda each: each["baseline"] != BASE):
        if each["measured_on"] == benchmark:
            under = f", {each['condition']}" if each["condition"] else ""
            title = f"{each['arm']} − {each['baseline']}{under}"
            found.setdefault(title, {})[each["metric"]] = difference_cell(each)
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


def about_lines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """What the report is of, for its head: terms and texts; what is not known is left out."""
    about = summary["about"]
    days = " to ".join(dict.fromkeys(filter(None, [about["first"], about["last"]])))
    seeds = about["seeds"]
    measured = [f"{name}: {of['questions']} × {of['samples']}" for name, of in summary["benchmarks"].items()]
    lines = {
        "report": summary["made"],
        "runs": days,
        "base": ", ".join(about["bases"]),
        "task": ", ".join(about["tasks"]),
        "problems × samples": ", ".join(measured),
        "seed" if len(seeds) == 1 else "seeds": ", ".join(map(str, seeds)),
    }
    return [(term, text) for term, text in lines.items() if text]


@dataclass(frozen=True)
class ConditionTable:
    """Each arm's difference from the baseline by condition, in one metric on one benchmark."""

    title: str
    baseline: str
    rows: dict[str, list[dict[str, Any] | None]]
    """By arm, a comparison (see `comparisons`) for each condition; None if it could not be made."""


def condition_tables(summary: dict[str, Any]) -> list[ConditionTable]:
    """The comparisons that verdicts are given on, with a column for each of `summary["conditions"]["names"]`."""
    if summary["conditions"] is None:
        return []
    names = summary["conditions"]["names"]
    family = [each for each in summary["comparisons"] if each["in_family"]]
    several = len({each["measured_on"] for each in family}) > 1
    tables = []
    for benchmark, metric in dict.fromkeys((each["measured_on"], each["metric"]) for each in family):
        rows: dict[str, list[dict[str, Any] | None]] = {each["arm"]: [None] * len(names) for each in family}
        for each in family:
            if (each["measured_on"], each["metric"]) == (benchmark, metric):
                rows[each["arm"]][names.index(each["condition"])] = each
        title = metric_title(metric) + (f" on {benchmark}" if several else "")
        tables.append(ConditionTable(title, family[0]["baseline"], rows))
    return tables


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
        shares = [percent(content["clip_share"][quadrant]) for quadrant in QUADRANTS]
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


COMPARISON_COLUMNS = ("", "", "metric", "difference", "verdict", "p", "p (Holm)", "P(better)", "detectable", "seeds")


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
            difference_cell(each),
            each["verdict"],
            p_value(each["p_value"]),
            p_value(each["p_value_holm"]),
            _two(each["probability_of_improvement"]),
            percent(each["detectable_effect"]),
            str(each["seeds"]),
        ]
        for each in between_arms(summary)
        if in_family in (None, each["in_family"])
    ]


def difference_cell(each: dict[str, Any]) -> str:
    """A comparison's difference and interval, in percentage points."""
    return cell({"value": each["difference"], "low": each["low"], "high": each["high"]}, sign=True)


def p_value(value: float | None) -> str:
    """Three digits after the point; a dash if there is none."""
    return "–" if value is None else f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


ENTROPY_COLUMNS = ("", "", "entropy, ratio", "p", "p (Holm)", "seeds", "verdict")


def entropy_rows(summary: dict[str, Any]) -> list[list[str]]:
    """A row for each comparison of entropies at the end of training."""
    return [
        [
            each["setting"] or "",
            f"{each['arm']} / {each['baseline']}",
            f"{each['ratio']:.2f}" + ("" if each["low"] is None else f" [{each['low']:.2f}, {each['high']:.2f}]"),
            p_value(each["p_value"]),
            p_value(each["p_value_holm"]),
            str(each["seeds"]),
            each["verdict"],
        ]
        for each in summary["entropy_at_end"]
    ]
