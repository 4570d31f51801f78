"""The units that answers carry, and one name for each."""

import re

_SPELLINGS = {
    "°": r"degrees?|deg|\^ ?\\circ",
    "mm": "mm|milli?met(?:er|re)s?",
    "cm": "cm|centimet(?:er|re)s?",
    "m": "met(?:er|re)s?",
    "km": "km|kilomet(?:er|re)s?",
    "in": "in|inch|inches",
    "ft": "ft|foot|feet",
    "yd": "yd|yards?",
    "mi": "miles?",
    "mg": "mg|milligrams?",
    "g": "grams?",
    "kg": "kg|kilograms?",
    "lb": "lbs?|pounds?",
    "oz": "oz|ounces?",
    "s": "sec|seconds?",
    "min": "mins?|minutes?",
    "h": "hrs?|hours?",
    "day": "days?",
    "week": "weeks?",
    "month": "months?",
    "year": "years?",
    "ml": "ml|millilit(?:er|re)s?",
    "l": "lit(?:er|re)s?",
    "mph": "mph|miles? per hour|miles?/hour",
    "km/h": "km/h|kmh|kph|kilometers per hour",
    "m/s": "m/s|meters per second",
    "dollar": "dollars?|usd",
    "cent": "cents?",
    "euro": "euros?",
    "unit": "units?",
    "rad": "radians?|rad",
}
_SHORT = {"m": "m", "g": "g", "s": "s", "h": "h", "l": "l", "°": "°"}
"""One letter stands for a unit only in \\text{…}: elsewhere it is a variable."""

_POWERS = {"square ": "^2", "sq ": "^2", "sq. ": "^2", "cubic ": "^3", "cu ": "^3"}
_ONE = "|".join(_SPELLINGS.values())
UNIT = rf"(?:(?:square|sq\.?|cubic|cu\.?) )?(?:{_ONE})(?![a-zA-Z])"
"""A regular expression of the spellings that need no \\text{…}."""


def canonical_unit(text: str) -> str | None:
    """The one name of a unit, with its power ("cm^2"); None for a word that is no known unit."""
    words = re.sub(r"\s+", " ", text.strip().rstrip(".")).lower()
    power = ""
    for spelling, exponent in _POWERS.items():
        if words.startswith(spelling):
            words, power = words.removeprefix(spelling), exponent
    if found := re.fullmatch(r"(.*?)\s?\^\s?(\d)|(.*?) (squared|cubed)", words):
        words = found[1] or found[3] or ""
        power = f"^{found[2]}" if found[2] else {"squared": "^2", "cubed": "^3"}[found[4]]
    if words in _SHORT:
        return _SHORT[words] + power
    for name, spellings in _SPELLINGS.items():
        if re.fullmatch(spellings, words):
            return name + power
    return None
