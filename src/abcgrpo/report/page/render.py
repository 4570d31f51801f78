"""`report.html`: one file that opens from disk. Scripts, styles and data are inside; nothing is fetched."""

import json
from typing import Any

import jinja2
import vl_convert

from abcgrpo.report.content.comparison import between_arms
from abcgrpo.report.drawing.panel import Panel
from abcgrpo.report.drawing.style import HIDDEN, ZOOM, look
from abcgrpo.report.text.document import READING_CLIP_EVENTS
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
        columns=[metric_title(name) for name in metric_names(summary)],
        rows=rows(summary),
        comparison_columns=COMPARISON_COLUMNS,
        comparisons_of_arms=between_arms(summary),
        family_rows=comparison_rows(summary, in_family=True),
        other_rows=comparison_rows(summary, in_family=False),
        entropy_columns=ENTROPY_COLUMNS,
        entropy_rows=entropy_rows(summary),
        log_columns=LOG_COLUMNS,
        log_rows=list(log_rows(summary)),
        reading_clip_events=READING_CLIP_EVENTS,
        panels=panels,
        sections={section: [each for each in panels if each.section == section] for section in _sections(panels)},
        figures=[_figure(panel) for panel in panels],
        parameters={"hidden": HIDDEN, "zoom": ZOOM},
        environments=_environments(summary["runs"]),
        bundle=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script"),
    )


def _sections(panels: list[Panel]) -> list[str]:
    return list(dict.fromkeys(panel.section for panel in panels))


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
