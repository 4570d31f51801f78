"""Writes the report: `report.json`, `.md`, `.tex` and `.html`, `metrics.csv`, and each panel as PNG and PDF."""

import csv
import json
from pathlib import Path
from typing import Any

import vl_convert

from abcgrpo.files import plain, replaced, write_json, write_text
from abcgrpo.report.content.runs import rule_curves
from abcgrpo.report.content.summary import summarize
from abcgrpo.report.content.training import table
from abcgrpo.report.drawing.panel import Panel
from abcgrpo.report.drawing.panels import panels
from abcgrpo.report.page.render import page
from abcgrpo.report.reading.records import Records
from abcgrpo.report.text.document import latex, markdown


def write(records: Records, output: Path) -> dict[str, Any]:
    """Write all files of the report into `output` and return its summary, the content of `report.json`.

    Args:
        records: what runs have left.
        output: the directory.
    """
    summary = plain(summarize(records))
    drawn = panels(summary, rule_curves(records.by_arm))
    for panel in drawn:
        _write_images(panel, output / "figures")
    write_json(output / "report.json", summary)
    _write_metrics(records, output / "metrics.csv")
    write_text(output / "report.md", markdown(summary, drawn))
    write_text(output / "report.tex", latex(summary))
    write_text(output / "report.html", page(summary, drawn))
    return summary


def _write_images(panel: Panel, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(panel.specification())
    (directory / f"{panel.name}.png").write_bytes(vl_convert.vegalite_to_png(text, scale=2))
    (directory / f"{panel.name}.pdf").write_bytes(vl_convert.vegalite_to_pdf(text))


def _write_metrics(records: Records, path: Path) -> None:
    """Everything that was logged, a step of a run in each row, metrics that no panel shows among them."""
    with replaced(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(table(records.runs))
