"""Parameters of rules: numbers with a range, checked when a rule is made."""

import math
from dataclasses import field, fields
from typing import Any


def parameter(default: float, *, at_least: float = 0.0, above: float | None = None, finite: bool = False) -> Any:
    """A dataclass field for a number within limits; `check_parameters` enforces them.

    Args:
        default: its default.
        at_least: the smallest value.
        above: values must be above this; in the place of `at_least`.
        finite: whether `inf`, an open bound, is refused.
    """
    limits = f"> {above:g}" if above is not None else f"≥ {at_least:g}"
    return field(default=default, metadata={"at_least": at_least, "above": above, "finite": finite, "limits": limits})


def check_parameters(rule: Any) -> None:
    """Turn the parameters of a rule that are declared with `parameter` into floats.

    Raises:
        ValueError: one is not a number within its limits; the message names it.
    """
    for declared in fields(rule):
        if "limits" in declared.metadata:
            object.__setattr__(rule, declared.name, _checked(declared, getattr(rule, declared.name)))


def _checked(declared: Any, value: Any) -> float:
    limits = declared.metadata
    allowed = f"a number {limits['limits']}" + ("" if limits["finite"] else " or inf")
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    inside = number > limits["above"] if limits["above"] is not None else number >= limits["at_least"]
    if isinstance(value, bool) or not inside or (limits["finite"] and math.isinf(number)):
        raise ValueError(f"{declared.name} must be {allowed}, got {value!r}")
    return number
