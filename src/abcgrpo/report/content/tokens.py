"""Which tokens are punished? A few responses of each arm, as `tokens.jsonl` of its runs recorded them.

`abcgrpo.trl.token_record` says what a line holds.
"""

from typing import Any

from abcgrpo.files import read_json_lines
from abcgrpo.report.reading.records import RunRecord

RESPONSES = 3
"""Responses shown of each arm."""
LONGEST = 800
"""Tokens of a response that are shown."""
LISTS = ("tokens", "own", "advantages", "ratios", "events", "clipped", "prefix_gain")
"""The fields with an item for each token."""
PUNISHED = (3, 4)
"""The quadrants of Â < 0."""


def recorded_responses(runs: list[RunRecord]) -> list[dict[str, Any]]:
    """Of an arm's first seed with a record, the responses with the most clip events, each to another problem.

    Failed ones come first, since what they are punished for is the question. Each is a line of the record with `seed`,
    the number of tokens as `length`, of clip events by quadrant as `counts`, and `over_punished`, the number of events
    in Q3 and Q4 at tokens whose prefix was no worse than its group (`prefix_gain` ≥ 0).
    """
    run = next((run for run in runs if run.tokens is not None), None)
    if run is None or run.tokens is None:
        return []
    best: dict[str, dict[str, Any]] = {}
    for line in read_json_lines(run.tokens):
        if line["prompt"] not in best or _rank(line) < _rank(best[line["prompt"]]):
            best[line["prompt"]] = line
    return [_shown(line, run.seed) for line in sorted(best.values(), key=_rank)[:RESPONSES]]


def _rank(line: dict[str, Any]) -> tuple[bool, int, int]:
    """Failed responses first, then those with more events, then earlier ones."""
    return min(line["advantages"], default=0.0) >= 0, -sum(event > 0 for event in line["events"]), line["step"]


def _shown(line: dict[str, Any], seed: int) -> dict[str, Any]:
    events = line["events"]
    punished = zip(events, line["prefix_gain"], strict=True)
    return {
        **{name: line[name] for name in ("step", "prompt", "reward")},
        "seed": seed,
        "length": len(events),
        "counts": {f"q{quadrant}": events.count(quadrant) for quadrant in (1, 2, 3, 4)},
        "over_punished": sum(event in PUNISHED and gain >= 0 for event, gain in punished),
        **{name: None if line[name] is None else line[name][:LONGEST] for name in LISTS},
    }
