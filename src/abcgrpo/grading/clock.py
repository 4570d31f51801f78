"""Times of day: 3:30 p.m. is neither the ratio 1:10 nor 3:30 a.m."""

import re
from dataclasses import dataclass
from math import gcd

_TIME = re.compile(r"(?P<hour>\d{1,2})(?:\s*:\s*(?P<minute>[0-5]\d))?\s*(?:(?P<half>[ap])\.?\s?m\.?)?", re.IGNORECASE)
_NAMED = {"noon": (12, 0, "p"), "12 noon": (12, 0, "p"), "midnight": (12, 0, "a"), "12 midnight": (12, 0, "a")}
_HALVES = {"a.m.": "a", "p.m.": "p", "o'clock": ""}


@dataclass(frozen=True, slots=True)
class Time:
    hour: int
    minute: int
    half: str
    """`a` for a.m., `p` for p.m., empty if it is not said."""
    certain: bool
    """Whether it can be nothing else: 1:10 could be a ratio, but 2:20 is not one in lowest terms."""

    def same(self, other: "Time") -> bool:
        """Whether the two may be the same moment: 15:30 is 3:30 p.m., and 3:30 is either."""
        if self.half and other.half:
            return self._minutes == other._minutes
        if self.half or other.half:
            said, unsaid = (self, other) if self.half else (other, self)
            return (unsaid.hour, unsaid.minute) == (said.hour, said.minute) or (
                unsaid.hour > 12 and unsaid.hour * 60 + unsaid.minute == said._minutes
            )
        return (self.hour, self.minute) == (other.hour, other.minute)

    @property
    def _minutes(self) -> int:
        hour = self.hour % 12 + 12 * (self.half == "p") if self.hour <= 12 else self.hour
        return 60 * hour + self.minute


def read_time(text: str, unit: str | None) -> Time | None:
    """The time of day that a text gives, with what stands after it as its `unit`; None if it is none."""
    if (named := _NAMED.get(text.lower())) is not None:
        return Time(*named, certain=True)
    found = _TIME.fullmatch(text.strip())
    if found is None or (unit is not None and unit not in _HALVES):
        return None
    half = (found["half"] or "").lower() or _HALVES.get(unit or "", "")
    if found["minute"] is None and not (half and (unit or " " in text or text.isupper() or "." in text)):
        return None
    hour, minute = int(found["hour"]), int(found["minute"] or 0)
    if hour > (12 if half else 24) or (half and hour == 0):
        return None
    is_ratio = gcd(hour, minute) == 1 and not (found["minute"] or "").startswith("0") and found["hour"][0] != "0"
    return Time(hour, minute, half, certain=bool(half or unit) or not is_ratio)
