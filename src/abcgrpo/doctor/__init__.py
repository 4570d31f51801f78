"""Whether an engine will find what this package gives it: checked before a run instead of after its first rollout."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from abcgrpo.errors import unknown_name

_MODULES = {"verl": "abcgrpo.doctor.verl"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    state: str
    """`ok`, `note` (worth knowing) or `wrong` (a run would fail, or would not be what it says)."""
    text: str
    """What was found, and what to do about it."""


def examine(engine: str) -> list[Finding]:
    """What was found of an engine; with a `wrong` among it, training will not work.

    Raises:
        UserError: an engine that has no such check.
    """
    if engine not in _MODULES:
        raise unknown_name("engine", engine, _MODULES, "doctor")
    check: Callable[[], list[Finding]] = import_module(_MODULES[engine]).examine
    return check()
