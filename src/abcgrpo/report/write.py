"""Writes the report: `report.json`, `report.md`, `report.html`, and each panel as PNG and PDF."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import vl_convert

from abcgrpo.files import plain, write_json, write_text
from abcgrpo.report.figures import panels
from abcgrpo.report.records import Records
from abcgrpo.report.summary import summarize
from abcgrpo.report.tables import markdown_table, metric_names, metric_title, rows


def write(records: Records, output: Path) -> dict[str, Any]:
    """Write all files of the report into `output` and return its summary, the content of `report.json`."""
    summary = plain(summarize(records))
    charts = panels(summary)
    specifications = {name: chart.to_dict() for name, chart in charts.items()}
    for name, specification in specifications.items():
        text = json.dumps(specification)
        (output / "figures").mkdir(parents=True, exist_ok=True)
        (output / "figures" / f"{name}.png").write_bytes(vl_convert.vegalite_to_png(text, scale=2))
        (output / "figures" / f"{name}.pdf").write_bytes(vl_convert.vegalite_to_pdf(text))
    write_json(output / "report.json", summary)
    write_text(output / "report.md", _markdown(summary, list(specifications)))
    write_text(output / "report.html", _page(summary, specifications))
    return summary


def _markdown(summary: dict[str, Any], figures: list[str]) -> str:
    notes = "\n".join(f"- {note}" for note in [*summary["notes"], *summary["missing"]])
    images = "\n".join(f"![{name}](figures/{name}.png)" for name in figures)
    return f"# {summary['title']}\n\n% right, with 95% intervals.\n\n{markdown_table(summary)}\n\n{notes}\n\n{images}\n"


def _page(summary: dict[str, Any], specifications: dict[str, dict]) -> str:
    """One file that opens from disk: scripts and data are inside, and everything from a run is escaped."""
    source = (files("abcgrpo.report") / "templates" / "report.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(source).render(
        summary=summary,
        columns=[metric_title(name) for name in metric_names(summary)],
        rows=list(rows(summary)),
        specifications={name: each | {"width": "container"} for name, each in specifications.items()},
        bundle=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"),
    )
