"""From logged lines to series: metric → step → value."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from abcgrpo.errors import UserError

Series = dict[str, dict[int, float]]
"""Metric → optimizer step → value, steps ascending."""

STEPS = ("step", "train/global_step", "training/global_step", "global_step", "_step", "Step")
"""What a line's step is called: by us and verl, by Hugging Face's trainers and verl in W&B, and by W&B itself.

The first that is there is taken: W&B's own `_step` counts calls, which need not be optimizer steps."""


def collect(lines: Iterable[dict[str, Any]], problems: list[str]) -> Series:
    """Series from lines in the order of logging, each a mapping with `step`.

    A line of an earlier step than the one before means that the run went on from a checkpoint: what it had logged from
    that step on is replaced. Values that are not finite are left out; both are said in `problems`.
    """
    by_step: dict[int, dict[str, float]] = {}
    not_finite: Counter[str] = Counter()
    last = None
    for line in lines:
        step = int(line["step"])
        if last is not None and step < last:
            stale = [each for each in by_step if each >= step]
            for each in stale:
                del by_step[each]
            problems.append(f"the run was resumed at step {step}; {len(stale)} steps logged before that are replaced.")
        last = step
        for name, value in line.items():
            number = _number(value)
            if name != "step" and number is not None:
                if math.isfinite(number):
                    by_step.setdefault(step, {})[name] = number
                else:
                    not_finite[name] += 1
    for name, count in sorted(not_finite.items()):
        problems.append(f"{name}: {count} values are not finite and are left out.")
    series: Series = {}
    for step in sorted(by_step):
        for name, value in by_step[step].items():
            series.setdefault(name, {})[step] = value
    return series


def _number(value: Any) -> float | None:
    """A logged value as a number. Our own files write an infinite one as a word, and NaN as null."""
    if value is None:
        return math.nan
    if isinstance(value, str) and value in ("inf", "-inf", "nan"):
        return float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def with_step(line: dict[str, Any], where: str) -> dict[str, Any]:
    """A line with its step under `step`, whatever it is called there.

    Raises:
        UserError: it has none.
    """
    for name in STEPS:
        value = _number(line[name]) if line.get(name) is not None else None
        if value is not None and math.isfinite(value):
            return {"step": int(value)} | {key: each for key, each in line.items() if key not in STEPS}
    raise UserError(
        f"{where} has no step, so it cannot be placed in training: write the optimizer step under `step` in every line "
        f"(accepted: {', '.join(STEPS)})."
    )
