"""All panels of a report, in the order of its sections."""

from typing import Any

from abcgrpo.report.drawing.comparison import forest_panels
from abcgrpo.report.drawing.frontier import frontier_panels
from abcgrpo.report.drawing.panel import Panel
from abcgrpo.report.drawing.rules import rule_panels
from abcgrpo.report.drawing.scores import score_panels
from abcgrpo.report.drawing.shadow import shadow_panels
from abcgrpo.report.drawing.training import training_panels


def panels(summary: dict[str, Any], rule_curves: dict[str, Any]) -> list[Panel]:
    """All panels that there are data for.

    Args:
        summary: the content of `report.json`.
        rule_curves: by arm, the curve of its rule (`content.runs.rule_curves`).
    """
    return [
        *forest_panels(summary),
        *score_panels(summary),
        *training_panels(summary),
        *frontier_panels(summary),
        *shadow_panels(summary),
        *rule_panels(list(summary["arms"]), rule_curves),
    ]
