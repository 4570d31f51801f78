"""Whole numbers written as English words: forty-two is 42."""

_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS_IN_ORDER = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_TENS = {word: 10 * n for n, word in enumerate(_TENS_IN_ORDER, 2)}
_SMALL = {word: n for n, word in enumerate(_UNITS)}
_LONGEST = 200
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}


def number_of_words(text: str) -> int | None:
    """The number that a text spells out, and nothing else beside it; None for any other text.

    >>> number_of_words("two hundred and five"), number_of_words("minus forty-two"), number_of_words("five two")
    (205, -42, None)
    """
    if not text[:1].isalpha() or len(text) > _LONGEST:
        return None
    words = text.lower().replace("-", " ").split()
    if words[:1] in (["minus"], ["negative"]):
        positive = number_of_words(" ".join(words[1:]))
        return None if positive is None or words[1:2] in (["minus"], ["negative"]) else -positive
    total, group, scale = 0, 0, 10**15
    previous = "scale"
    for word in words:
        if word == "and" and previous in ("hundred", "scale") and (total or group):
            continue
        if word in _SMALL and (previous in ("scale", "hundred") or (previous == "ten" and 0 < _SMALL[word] < 10)):
            group, previous = group + _SMALL[word], "unit"
        elif word in _TENS and previous in ("scale", "hundred"):
            group, previous = group + _TENS[word], "ten"
        elif word == "hundred" and previous == "unit" and 0 < group < 10:
            group, previous = 100 * group, "hundred"
        elif word in _SCALES and _SCALES[word] < scale and group:
            scale = _SCALES[word]
            total, group, previous = total + group * scale, 0, "scale"
        else:
            return None
    return total + group if words and words[-1] != "and" else None
