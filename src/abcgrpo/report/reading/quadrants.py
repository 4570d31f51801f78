"""Clip events by quadrant from what a run logged, under whichever names.

| names in the log                                              | clip events ÷ completion tokens            |
|---------------------------------------------------------------|--------------------------------------------|
| `clip/q1` … `clip/q4` (our trainers)                          | as they are                                |
| `clip_ratio/ppo_style`, `…_pos_adv_pct`, `…_neg_adv_pct`      | Q1 = value × pos share, Q3 = × neg share   |
| `clip_ratio/overcorrection`, `…_pos_adv_pct`, `…_neg_adv_pct` | Q2 = value × pos share, Q4 = × neg share   |
| `clip_ratio/high_mean`, `clip_ratio/low_mean` (TRL's GRPO)    | Q1 and Q3; Q2 and Q4 are not known         |

The `ppo_style` names are those of the logs that the paper's authors published.
"""

from abcgrpo.event_shares import QUADRANTS, clip_shares
from abcgrpo.report.reading.logs import Series

Shares = dict[str, float | None]

_AUTHORS = {
    "q1": ("clip_ratio/ppo_style", "pos"),
    "q2": ("clip_ratio/overcorrection", "pos"),
    "q3": ("clip_ratio/ppo_style", "neg"),
    "q4": ("clip_ratio/overcorrection", "neg"),
}
_HOST = {"q1": "clip_ratio/high_mean", "q3": "clip_ratio/low_mean"}

SOURCES = {
    *_HOST.values(),
    *(name for name, _ in _AUTHORS.values()),
    *(f"{name}_{sign}_adv_pct" for name, sign in _AUTHORS.values()),
    *(f"clip_share/{quadrant}" for quadrant in QUADRANTS),
}
"""The names that clip events are read under, beside `clip/q1` … `clip/q4`."""


def with_quadrants(metrics: Series) -> Series:
    """The series with `clip/q1` … `clip/q4` added as far as the log tells them: clip events ÷ completion tokens."""
    if any(f"clip/{quadrant}" in metrics for quadrant in QUADRANTS):
        return metrics
    found: Series = {}
    if all(name in metrics for name, _ in _AUTHORS.values()):
        for quadrant, (name, sign) in _AUTHORS.items():
            share = metrics.get(f"{name}_{sign}_adv_pct", {})
            found[f"clip/{quadrant}"] = {
                step: value * share[step] for step, value in metrics[name].items() if step in share
            }
    else:
        found = {f"clip/{quadrant}": metrics[name] for quadrant, name in _HOST.items() if name in metrics}
    return metrics | found


def clip_shares_of(metrics: Series) -> tuple[Shares, int]:
    """Each quadrant's share of all clip events (`abcgrpo.clip_shares`), and how many steps have any.

    None if a quadrant is not in the log: shares are of all four.
    """
    logged = [metrics.get(f"clip_share/{quadrant}", {}) for quadrant in QUADRANTS]
    if not all(logged):  # our trainers log the shares themselves, in the steps that have an event
        logged = [metrics.get(f"clip/{quadrant}", {}) for quadrant in QUADRANTS]
    rows = [[each[step] for each in logged] for step in logged[0] if all(step in each for each in logged)]
    shares = clip_shares(rows)
    if shares is None:
        return dict.fromkeys(QUADRANTS), 0
    return dict(zip(QUADRANTS, shares, strict=True)), sum(sum(row) > 0 for row in rows)
