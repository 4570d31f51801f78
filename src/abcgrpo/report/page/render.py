"""`report.html`: one file that opens from disk. Scripts, styles and data are inside; nothing is fetched."""

import json
from typing import Any

import jinja2
import vl_convert

from abcgrpo.event_shares import QUADRANTS
from abcgrpo.report.content.comparison import between_arms
from abcgrpo.report.content.shadow import first_measured
from abcgrpo.report.drawing.panel import Panel
from abcgrpo.report.drawing.shadow import MEASURED
from abcgrpo.report.drawing.style import HIDDEN, ZOOM, look
from abcgrpo.report.page.tokens import spans
from abcgrpo.report.text import tables
from abcgrpo.report.text.document import READING_CLIP_EVENTS
from abcgrpo.report.wording import metric_title, two_digits

CONTENTS = {
    "conditions": "When does the rule matter?",
    "verdict": "Verdict",
    "comparison": "Is one better?",
    "results": "Results",
    "training": "Training",
    "clip": "Clip events",
    "another-rule": "Another rule",
    "rules": "The rules",
    "tokens": "Punished tokens",
    "samples": "Answers",
    "configuration": "Arms and runs",
    "notes": "Notes",
}
"""Titles of the sections in the list of contents, by anchor."""


def page(summary: dict[str, Any], panels: list[Panel]) -> str:
    """The page. Everything that comes from a run is escaped: markup in an answer is shown, not run."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("abcgrpo.report.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(
        summary=summary,
        look=look(list(summary["arms"])),
        columns=[metric_title(name) for name in tables.metric_names(summary)],
        rows=tables.rows(summary),
        comparison_columns=tables.COMPARISON_COLUMNS,
        comparisons_of_arms=between_arms(summary),
        family_rows=tables.comparison_rows(summary, in_family=True),
        other_rows=tables.comparison_rows(summary, in_family=False),
        entropy_columns=tables.ENTROPY_COLUMNS,
        entropy_rows=tables.entropy_rows(summary),
        log_columns=tables.LOG_COLUMNS,
        log_rows=list(tables.log_rows(summary)),
        reading_clip_events=READING_CLIP_EVENTS,
        panels=panels,
        sections={section: [each for each in panels if each.section == section] for section in _sections(panels)},
        drawings=[_figure(panel) for panel in panels],
        parameters={"hidden": HIDDEN, "zoom": ZOOM, "measured": MEASURED},
        about=tables.about_lines(summary),
        contents=_contents(summary, {panel.section for panel in panels}),
        condition_tables=tables.condition_tables(summary),
        difference_cell=tables.difference_cell,
        two_digits=two_digits,
        spans=spans,
        first_measured=first_measured(summary["arms"]),
        quadrants=list(QUADRANTS),
        environments=_environments(summary["runs"]),
        bundle=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script"),
    )


def _sections(panels: list[Panel]) -> list[str]:
    return list(dict.fromkeys(panel.section for panel in panels))


def _contents(summary: dict[str, Any], drawn: set[str]) -> list[tuple[str, str]]:
    """Anchors and titles of the page's sections, as far as they are there."""
    benchmarks = list(summary["benchmarks"])
    present = {
        "conditions": summary["conditions"],
        "verdict": True,
        "comparison": between_arms(summary),
        "results": benchmarks,
        **{f"scores-{number}": name in drawn for number, name in enumerate(benchmarks, start=1)},
        "training": "training" in drawn,
        "clip": "clip" in drawn,
        "another-rule": summary["another_rule"],
        "rules": "rules" in drawn,
        "tokens": summary["tokens"],
        "samples": summary["samples"],
        "configuration": True,
        "notes": summary["notes"],
    }
    titles = CONTENTS | {
        f"scores-{number}": f"Over training: {name}" for number, name in enumerate(benchmarks, start=1)
    }
    return [(anchor, titles[anchor]) for anchor, there in present.items() if there]


def _figure(panel: Panel) -> dict[str, Any]:
    """What the page's script needs of a panel. Its title and size are the page's own there."""
    specification = panel.specification() | {"width": "container", "description": f"{panel.title}. {panel.caption}"}
    del specification["title"]
    return {"name": panel.name, "specification": specification, "extent": panel.extent}


def _environments(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each different environment once, with the runs that it was of."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        if run["environment"]:
            key = json.dumps(run["environment"], sort_keys=True)
            found.setdefault(key, {"environment": run["environment"], "runs": []})["runs"].append(
                f"{run['arm']}, seed {run['seed']}"
            )
    return list(found.values())
