"""A recorded response as spans of the page: each token with its colours and with what a reader learns of it."""

from typing import Any, NamedTuple

from abcgrpo.report.content.tokens import PUNISHED

PLACEHOLDER = "▯"
"""For a token that ends within a character and so adds no text."""


class Span(NamedTuple):
    """A token on the page."""

    text: str
    classes: str
    strength: float
    """|Â| over the largest of the response, 0 … 1."""
    says: str
    """Advantage, ratio, quadrant, and what the rule did, in words."""


def spans(response: dict[str, Any]) -> list[Span]:
    """The tokens of a response (`content.tokens.recorded_responses`)."""
    largest = max((abs(value) for value in response["advantages"]), default=0.0) or 1.0
    return [_span(response, at, largest) for at in range(len(response["tokens"]))]


def _span(response: dict[str, Any], at: int, largest: float) -> Span:
    text, advantage, event = response["tokens"][at], response["advantages"][at], response["events"][at]
    if not response["own"][at]:
        return Span(text or PLACEHOLDER, "other", 0.0, "a tool's output")
    over = event in PUNISHED and response["prefix_gain"][at] >= 0
    changed = response["clipped"] is not None and response["clipped"][at]
    classes = ["up" if advantage > 0 else "down" if advantage < 0 else "zero"]
    classes += [f"q{event}"] * (event > 0) + ["changed"] * bool(changed) + ["over"] * over
    says = [f"Â {advantage:+.3g}".replace("-", "−"), f"r {response['ratios'][at]:.3g}"]
    says += [f"clip event of Q{event}"] * (event > 0) + ["the rule changed its weight"] * bool(changed)
    says += ["punished, though the prefix was no worse than its group"] * over
    return Span(text or PLACEHOLDER, " ".join(classes), abs(advantage) / largest, ", ".join(says))
