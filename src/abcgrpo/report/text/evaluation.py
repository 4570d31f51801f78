"""The table of evaluations, as in the paper: for the terminal, as Markdown and as LaTeX."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from abcgrpo.files import plain, write_json, write_text
from abcgrpo.report.text.markup import markdown as markdown_table
from abcgrpo.report.text.markup import tabular
from abcgrpo.report.wording import cell, metric_title, percent

Line = tuple[str, str, list[str]]
"""Benchmark, model, cells."""

EXTRA_COLUMNS = ("Maj", "truncated", "tokens")


def write_results(results: dict[str, Any], output: Path) -> dict[str, Any]:
    """Write `results.json`, `results.md` and `results.tex` into `output`; returns the content of the first."""
    content = plain(results)
    write_json(output / "results.json", content)
    write_text(output / "results.md", markdown(content))
    write_text(output / "results.tex", latex(content))
    return content


def titles(results: dict[str, Any]) -> list[str]:
    """The columns after benchmark and model."""
    return [*map(metric_title, results["columns"]), *EXTRA_COLUMNS]


def lines(results: dict[str, Any]) -> Iterator[Line]:
    """The table's lines: models, then differences, benchmark by benchmark; averages last."""
    columns = results["columns"]
    for benchmark, content in results["benchmarks"].items():
        for model, found in content["models"].items():
            extra = [percent(found["majority"]["value"]), percent(found["truncated"]), f"{found['mean_tokens']:.0f}"]
            yield benchmark, model, [cell(found[name]) for name in columns] + extra
        for difference in content["differences"]:
            title = f"{difference['model']} − {difference['minus']}"
            cells = [cell(difference[name], sign=True) for name in columns]
            yield benchmark, title, cells + ["–"] * len(EXTRA_COLUMNS)
    for model, found in (results["average"] or {}).items():
        yield "average", model, [percent(found[name]) for name in columns] + ["–"] * len(EXTRA_COLUMNS)


def terminal(results: dict[str, Any]) -> Table:
    """With intervals for the first and the last metric, values between; `results.md` has them all."""
    table = Table(title=f"% right of {results['samples']} samples per question, with 95% intervals over questions")
    for title in ("", ""):
        table.add_column(title)
    for title in titles(results):
        table.add_column(title, justify="right")
    last = len(results["columns"]) - 1
    before = None
    for benchmark, model, cells in lines(results):
        if before not in (None, benchmark):
            table.add_section()
        shown = [each if at in (0, last) or at > last else each.partition(" ")[0] for at, each in enumerate(cells)]
        table.add_row(benchmark if benchmark != before else "", model, *shown)
        before = benchmark
    return table


def markdown(results: dict[str, Any]) -> str:
    """Every interval written out, and the notes."""
    table = markdown_table(
        ["", "", *titles(results)], [[benchmark, model, *cells] for benchmark, model, cells in lines(results)]
    )
    notes = "\n".join(f"- {note}" for note in results["notes"])
    return f"{table}\n\n{notes}\n"


def latex(results: dict[str, Any]) -> str:
    """A `tabular` for the booktabs package, values without intervals, notes as comments."""
    columns = results["columns"]
    values = [
        [benchmark, model, *(each.partition(" ")[0] for each in cells[: len(columns)])]
        for benchmark, model, cells in lines(results)
    ]
    return tabular(["Benchmark", "Method", *map(metric_title, columns)], values, results["notes"])
