"""One element of an answer, without the brackets and commas around it: its value apart from its unit."""

import re
from dataclasses import dataclass

from abcgrpo.grading.normalization import TEXT_CLOSE, TEXT_OPEN
from abcgrpo.grading.rationals import rational
from abcgrpo.grading.units import CURRENCIES, UNIT, canonical_unit, unit_of_words


@dataclass(frozen=True, slots=True)
class Atom:
    """One element of an answer, ready to be compared."""

    text: str
    """The element without unit, percent sign and punctuation, in LaTeX."""
    key: str
    """`text` without spaces and needless braces: equal keys are equal answers."""
    unit: str | None = None
    """The canonical name of its unit, or the noun that stands after it; None if there is neither."""
    percent: bool = False
    words: bool = False
    """Whether it is a word or a phrase, not mathematics."""
    prose: bool = False
    """Whether words stand inside the mathematics: then it is compared as text only."""


_THOUSANDS = re.compile(r"([+-]?)(\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+)(\.\d+)?")
_TEXT = TEXT_OPEN + r"\s*[^" + TEXT_OPEN + TEXT_CLOSE + r"]{0,40}" + TEXT_CLOSE
_TEXT_EXPONENT = r"(?:\s*\^\s*(?:\{\s*-?\d\s*\}|-?\d))?"
_TEXT_UNIT = re.compile(
    rf"(?<=[^\s{TEXT_OPEN}])\s*({_TEXT}{_TEXT_EXPONENT}(?:\s*(?:/|\\cdot)?\s*{_TEXT}{_TEXT_EXPONENT})*)$"
)
_BARE_UNIT = re.compile(rf"(?<=[\d}})\s%])\s*({UNIT}|\^\s*\\circ)(\s*\^\s*(?:\{{\d\}}|\d))?$", re.IGNORECASE)
_NOT_ALONE = re.compile(r"\\(?:circ|sin|cos|tan|cot|sec|csc)(?![a-zA-Z])|(?<![a-zA-Z\\])[a-zA-Z]")
_LIKE_VARIABLES = re.compile(r"hrs?|in|ft|yd|mi|mg|lbs?|oz|ml|deg|rad", re.IGNORECASE)
_CURRENCY = re.compile(rf"([+-]?)\s*{TEXT_OPEN}({'|'.join(set(CURRENCIES.values()))}){TEXT_CLOSE}\s*(?=\S)")
_PERCENT = re.compile(r"(?<=[\d}) ])\s*(?:%|per ?cent)$", re.IGNORECASE)
_WORDS = re.compile(r"[^\W\d_][^\W\d_’' -]*(?:[’' -]+[^\W\d_]+)*")
TRAILING = " .,;:"


def read_atom(text: str) -> Atom:
    """One element of a cleaned answer: its unit, percent sign and trailing punctuation set apart."""
    text, unit = text.strip().rstrip(TRAILING), None
    if found := _CURRENCY.match(text):
        text, unit = found[1] + text[found.end() :], found[2]
    if found := _TEXT_UNIT.search(text):
        after = plain_words(found.group(1))
        if after.lower() in ("percent", "per cent", "%"):
            text = text[: found.start()] + "%"
        elif (name := unit_of_words(after)) is not None:
            text, unit = text[: found.start()], unit or name
    stood_in_text = TEXT_OPEN in text
    text = re.sub(r"\s+", " ", text.replace(TEXT_OPEN, " ").replace(TEXT_CLOSE, " ")).strip().rstrip(TRAILING)
    if (found := _BARE_UNIT.search(text)) and _is_unit(found[1], text[: found.start()]):
        unit = unit or canonical_unit(found.group(1) + re.sub(r"[\s{}]", "", found.group(2) or ""))
        text = text[: found.start()].rstrip()
    percent = bool(found := _PERCENT.search(text))
    if found:
        text = text[: found.start()].rstrip()
    if number := _THOUSANDS.fullmatch(text):
        text = number[1] + number[2].replace(",", "").replace(" ", "") + (number[3] or "")
    words = _WORDS.fullmatch(text) is not None and (stood_in_text or len(text) > 3) and len(text) > 1
    return Atom(text, key_of(text), unit, percent, words, stood_in_text and not words)


def _is_unit(unit: str, before: str) -> bool:
    r"""Whether a unit without \\text{…} is one: in xhr and 2\\pi hr, hr is no hour; sin 30° needs its degrees."""
    if _NOT_ALONE.search(before):
        return False
    return not _LIKE_VARIABLES.fullmatch(unit) or "\\" not in before or rational(before) is not None


def key_of(text: str) -> str:
    """A text without spaces that mean nothing and without braces around one character."""
    text = re.sub(r"\s*(\\[a-zA-Z]+)\s+(?![a-zA-Z])", r"\1", text)
    text = re.sub(r"(?<!\d) | (?!\d)", "", re.sub(r"(\\[a-zA-Z]+) (?=[a-zA-Z])", r"\1{}", text))
    return re.sub(r"([\^_])\{(\w)\}", r"\1\2", text)


def plain_words(text: str) -> str:
    r"""What stood in \text{…}, with exponents, in one line."""
    return re.sub(rf"[\s{{}}{TEXT_OPEN}{TEXT_CLOSE}]+", " ", text).strip()
