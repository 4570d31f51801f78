"""What the adapters share: thresholds out of an engine's configuration, refused options, fractions of clip events."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor

from abcgrpo.boundaries import Boundaries
from abcgrpo.quadrants import clip_events
from abcgrpo.tokens import importance_ratio

THRESHOLDS = tuple(field.name for field in fields(Boundaries))


def get(config: Any, name: str, otherwise: Any = None) -> Any:
    """A field of a configuration that is a mapping or an object."""
    return config.get(name, otherwise) if isinstance(config, Mapping) else getattr(config, name, otherwise)


def read_boundaries(config: Any) -> Boundaries:
    """The four thresholds of a configuration; they have no default here, so that none is forgotten.

    Raises:
        ValueError: a threshold is missing or is none.
    """
    missing = [name for name in THRESHOLDS if get(config, name) is None]
    if missing:
        raise ValueError(f"ABC-GRPO needs the thresholds {', '.join(THRESHOLDS)}; missing: {', '.join(missing)}")
    return Boundaries(*(get(config, name) for name in THRESHOLDS))


def refuse(config: Any, names: Iterable[str], engine: str) -> None:
    """Refuse options that the engine's own losses follow and this one would not.

    Raises:
        ValueError: one of them is set.
    """
    for name in names:
        if get(config, name):
            raise ValueError(f"{name}={get(config, name)!r} has no effect on ABC-GRPO's loss in {engine}: leave it off")


def event_fractions(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Clip events of each quadrant ÷ tokens of this batch, as 0-d tensors: `clip/q1` … `clip/q4`. Inputs are (B, T)."""
    ratio = importance_ratio(logprobs.detach(), old_logprobs, mask)
    events = clip_events(ratio, advantages, mask).counts() / mask.sum().clamp(min=1)
    return {f"clip/q{quadrant}": fraction for quadrant, fraction in enumerate(events, start=1)}
