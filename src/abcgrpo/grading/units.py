r"""The units that answers carry, and one name for each; and which words after a number change its value."""

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
_TIMES_OF_DAY = {
    "a.m.": r"a\.? ?m\.?|in the morning",
    "p.m.": r"p\.? ?m\.?|in the (?:afternoon|evening)|at night",
    "o'clock": r"o['’]clock",
}
LETTERS = {"m": "m", "g": "g", "s": "s", "h": "h", "l": "l"}
"""One letter stands for a unit only in \\text{…}: elsewhere it is a variable."""
CURRENCIES = {"\\$": "dollar", "€": "euro", "£": "pound sterling", "¥": "yen", "\\pounds": "pound sterling"}

_POWERS = {"square ": "^2", "sq ": "^2", "sq. ": "^2", "cubic ": "^3", "cu ": "^3"}
_ONE = "|".join(_SPELLINGS.values())
UNIT = rf"(?:(?:square|sq\.?|cubic|cu\.?) )?(?:{_ONE})(?![a-zA-Z])"
"""A regular expression of the spellings that need no \\text{…}."""

_CHANGES_THE_VALUE = re.compile(
    r"\b(?:"
    # numbers, parts and scales
    r"(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty"
    r"|seventy|eighty|ninety|hundred|thousand|[mbtr]illion|quadrillion|quintillion|dozen|score|gross|pair|couple|half"
    r"|halve|third|quarter|fourth|fifth|sixth|seventh|eighth|ninth|tenth|hundredth|thousandth|millionth|billionth"
    r"|percentage|permille|mil|lakh|crore)(?:e?s)?|(?:kilo|mega|giga|milli|micro|nano)"
    r"|halves|thrice|twice|once|double|triple|quadruple|nil|none|k|bn|mn"
    # operations
    r"|plus|minus|times|over|divided|multiplied|added|subtracted|by|mod|modulo|remainder|power|powers|exponent|raised|root"
    r"|roots|radical|squared|cubed|square|cube|factorial|subfactorial|inverse|reciprocal|negative|positive|opposite|prime"
    r"|conjugate|choose|permute|combination|log|ln|lg|exp|sin|cos|tan|sec|csc|cot|arcsin|arccos|arctan|sqrt|sum|difference"
    r"|product|quotient|ratio|base|binary|octal|decimal|hexadecimal|ternary|factor|multiple|multiples"
    # constants and letters that are written as words
    r"|pi|tau|phi|euler|infinity|infinite|inf|imaginary|alpha|beta|gamma|theta|lambda|omega"
    # bounds, alternatives, negations and doubts
    r"|more|less|fewer|greater|larger|smaller|least|most|maximum|minimum|above|below|under|between|to|through|until|from"
    r"|or|and|not|no|nor|never|non|without|except|excluding|wrong|false|incorrect|undefined|impossible"
    r"|almost|nearly|about|around|approximately|approx|roughly|if|when|unless|where|for|with|else|otherwise|but|then"
    r"|equals?|is|are|at|up|off|as|constant|any|all|every|each"
    r")\b"
)
_NOUN = re.compile(r"[^\W\d_]{2}[^\W\d_.'’-]*(?:[ .'’-]+[^\W\d_]+){0,4}[.'’]?")


def canonical_unit(text: str) -> str | None:
    """The one name of a unit, with its power ("cm^2"); None for a word that is no known unit."""
    words = re.sub(r"\s+", " ", text.strip().rstrip(".")).lower()
    power = ""
    for spelling, exponent in _POWERS.items():
        if words.startswith(spelling):
            words, power = words.removeprefix(spelling), exponent
    if found := re.fullmatch(r"(.*?)\s?\^\s?(-?\d)|(.*?) (squared|cubed)", words):
        words = found[1] or found[3] or ""
        power = f"^{found[2]}" if found[2] else {"squared": "^2", "cubed": "^3"}[found[4]]
    if words in LETTERS:
        return LETTERS[words] + power
    for name, spellings in (*_SPELLINGS.items(), *_TIMES_OF_DAY.items()):
        if re.fullmatch(spellings, words):
            return name + power
    return None


def is_known_unit(text: str) -> bool:
    """Whether it is a unit, or a product or quotient of units."""
    factors = _factors(text)
    return canonical_unit(text) is not None or (
        len(factors) > 1 and all(factor == "/" or canonical_unit(factor) for factor in factors)
    )


def _factors(text: str) -> list[str]:
    text = re.sub(r"\s*\^\s*\{?\s*(-?\d)\s*\}?", r"^\1", text.replace("\\cdot", " ").lower())
    return text.replace("/", " / ").split()


def unit_of_words(text: str) -> str | None:
    """The name of what is counted or measured: a known unit, a product of these, or a noun such as "apples".

    None if the words are not a unit, or could change the number that they follow: "million", "squared", "or more".
    """
    if is_known_unit(text):
        return canonical_unit(text) or " ".join(_factors(text))
    words = re.sub(r"\s+", " ", text.strip()).lower()
    if not _NOUN.fullmatch(words) or _CHANGES_THE_VALUE.search(words):
        return None
    return words.rstrip(".").removesuffix("s")
