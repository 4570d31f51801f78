"""Writes the report: `report.json`, `.md`, `.tex` and `.html`, the CSV files, and each panel as PNG and PDF."""

import json
from pathlib import Path
from typing import Any

import vl_convert

from abcgrpo.files import plain, write_json, write_text
from abcgrpo.report.content.runs import rule_curves
from abcgrpo.report.content.summary import summarize
from abcgrpo.report.drawing.panel import Panel
from abcgrpo.report.drawing.panels import panels
from abcgrpo.report.page.render import page
from abcgrpo.report.reading.records import Records
from abcgrpo.report.text.csv_files import write_metrics, write_scores
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
    write_metrics(records.runs, output / "metrics.csv")
    if records.shares is None:  # right and wrong answers
        write_scores(records, output / "scores.csv")
    write_text(output / "report.md", markdown(summary, drawn))
    write_text(output / "report.tex", latex(summary))
    write_text(output / "report.html", page(summary, drawn))
    return summary


def _write_images(panel: Panel, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(panel.specification())
    (directory / f"{panel.name}.png").write_bytes(vl_convert.vegalite_to_png(text, scale=2))
    (directory / f"{panel.name}.pdf").write_bytes(vl_convert.vegalite_to_pdf(text))
