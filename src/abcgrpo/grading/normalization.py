r"""One way of writing what LaTeX and Unicode write in many: both the gold and the answer go through here.

`clean` works on a whole answer (Unicode, styles, spacing), `read_atom` on one element of it, without brackets and
commas around it (units, percent signs, separators of thousands, a label such as "x =").
"""

import re
import unicodedata
from dataclasses import dataclass

from abcgrpo.grading.units import UNIT, canonical_unit

TEXT_OPEN, TEXT_CLOSE = "\ue000", "\ue001"
"""Private-use characters around what stood in \\text{…}: units and words, as opposed to variables."""
_SEPARATOR = "\ue002"
"""Another one, for a separator of thousands beyond doubt, such as {,}."""

_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))
_VULGAR = {
    "½": "1/2",
    "⅓": "1/3",
    "⅔": "2/3",
    "¼": "1/4",
    "¾": "3/4",
    "⅕": "1/5",
    "⅖": "2/5",
    "⅗": "3/5",
    "⅘": "4/5",
    "⅙": "1/6",
    "⅚": "5/6",
    "⅐": "1/7",
    "⅛": "1/8",
    "⅜": "3/8",
    "⅝": "5/8",
    "⅞": "7/8",
    "⅑": "1/9",
    "⅒": "1/10",
}
_SYMBOLS = {
    **{sign: r"\frac{" + value.replace("/", "}{") + "}" for sign, value in _VULGAR.items()},
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "×": r"\cdot ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ",
    "÷": "/", "⁄": "/", "∕": "/", "π": r"\pi ", "∞": r"\infty ", "°": r"^\circ ", "±": r"\pm ", "∓": r"\mp ",
    "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ",
    "⌀": r"\emptyset ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ",
    "，": ",", "。": ".", "；": ";", "：": ":", "∶": ":", "“": "", "”": "", "…": r"\ldots ", "′": "'",
    "⟨": r"\langle ", "⟩": r"\rangle ", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2007": " ",
}  # fmt: skip
_CHARACTERS = str.maketrans({**_SYMBOLS, TEXT_OPEN: "\ufffd", TEXT_CLOSE: "\ufffd", _SEPARATOR: "\ufffd"})

_STYLES = re.compile(
    r"\\(text(?:bf|it|rm|sf|tt|normal|up)?|mbox|hbox|mathrm|emph|operatorname\*?"
    r"|math(?:bf|it|sf|tt|bb|cal|normal)|boldsymbol|bm|pmb|boxed|fbox|underline|ensuremath|displaystyle)\s*\{"
)
_WORDS_STAND_IN = re.compile(r"text.*|mbox|hbox|mathrm|emph")
_BRACE = re.compile(r"\\[{}\\]|[{}]")
_SPECIAL = re.compile(r"[\\{}]")
_REWRITINGS = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"\\(?:left|right|big|Big|bigg|Bigg|bigl|bigr|Bigl|Bigr|biggl|biggr)(?![a-zA-Z])\s*\.?", ""),
        (r"\\(?:displaystyle|textstyle|limits|nolimits|bf|rm|it|sf|tt|strut|boldmath)(?![a-zA-Z])", " "),
        (
            r"\\hspace\*?\{[^{}]{0,20}\}|\\(?:quad|qquad|enspace|thinspace|medspace|hfill|par)(?![a-zA-Z])",
            " ",
        ),
        (r"(?<=\d)(?:\{,\}|,\\!|\\,(?=\d{3}))(?=\d)", _SEPARATOR),
        (r"(?<!\\)\\[,;:> \n]|~", " "),
        (r"\\!", ""),
        (r"\\(?:text)?color\s*\{[^{}]{0,40}\}", ""),
        (r"\\\\\s*$", ""),
        (r"\\\$|\\pounds(?![a-zA-Z])|[€£¥]", ""),
        (r"(?<!\\)\\[()\[\]]|\$|\*\*|`", " "),
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\\[dt]binom(?![a-zA-Z])", r"\\binom"),
        (r"\\(?:cdot|times|ast)(?![a-zA-Z])|\*", r"\\cdot "),
        (r"\\div(?![a-zA-Z])", "/"),
        (r"\\l?brace(?![a-zA-Z])", r"\\{"),
        (r"\\rbrace(?![a-zA-Z])", r"\\}"),
        (r"\\leq(?:slant)?(?![a-zA-Z])", r"\\le "),
        (r"\\geq(?:slant)?(?![a-zA-Z])", r"\\ge "),
        (r"\\neq(?![a-zA-Z])|\\not\s*=", r"\\ne "),
        (r"\\[lr]?vert(?![a-zA-Z])", "|"),
        (r"\\varnothing(?![a-zA-Z])", r"\\emptyset "),
        (r"\\(?:dots|cdots)(?![a-zA-Z])", r"\\ldots "),
        (r"\\colon(?![a-zA-Z])", ":"),
        (r"\\(?:degree|textdegree)(?![a-zA-Z])|\^\s*\{\s*\\circ\s*\}", r"^\\circ "),
        (r"\\(?:percent|%)", "%"),
        (r"\\(?:overline|bar)(?![a-zA-Z])\s*(\d)", r"\\overline{\1}"),
        (r"\\bar\s*\{", r"\\overline{"),
        (r"\\frac\s*([0-9a-zA-Z])", r"\\frac{\1}"),
        (r"\\frac\s*\{([^{}]{0,200})\}\s*([0-9a-zA-Z])", r"\\frac{\1}{\2}"),
        (r"\\sqrt\s*([0-9a-zA-Z])", r"\\sqrt{\1}"),
        (r"(?<![a-zA-Z\\])sqrt\s*\(([^()]{0,200})\)", r"\\sqrt{\1}"),
        (r"(?<![a-zA-Z\\])sqrt\s*\{", r"\\sqrt{"),
        (r"(?<![a-zA-Z\\])pi(?![a-zA-Z])", r"\\pi "),
        (r"\s+", " "),
    ]
]


def clean(answer: str) -> str:
    """The answer with one spelling for each sign, no styles, no spacing commands, no math delimiters.

    What stood in a command for text is left between `TEXT_OPEN` and `TEXT_CLOSE`.
    """
    text = re.sub(
        "[⁰¹²³⁴-⁹⁺⁻ⁿ]+", lambda run: "^{" + "".join(map(_SUPERSCRIPTS.__getitem__, run.group())) + "}", answer
    )
    text = re.sub("[₀-₉]+", lambda run: "_{" + "".join(map(_SUBSCRIPTS.__getitem__, run.group())) + "}", text)
    text = re.sub(r"√\s*(\d+|[a-zA-Z])", r"\\sqrt{\1}", text).replace("√", r"\sqrt ")
    text = unicodedata.normalize("NFKC", text.translate(_CHARACTERS)).translate(_CHARACTERS)
    # A control character or half of a pair is no math: mark it, so that "4␀2" does not become 42.
    text = "".join(_visible(character) for character in text)
    text = _without_styles(text)
    for pattern, replacement in _REWRITINGS:
        text = pattern.sub(replacement, text)
    if re.search(rf"{_SEPARATOR}\d{{1,2}}(?!\d)", text):
        return text.replace(_SEPARATOR, ",").strip()  # groups of other than three digits: a list
    return text.replace(_SEPARATOR, "").strip()


@dataclass(frozen=True, slots=True)
class Atom:
    """One element of an answer, ready to be compared."""

    text: str
    """The element without unit, percent sign and punctuation, in LaTeX."""
    key: str
    """`text` without spaces and needless braces: equal keys are equal answers."""
    unit: str | None
    """The canonical name of its unit, or the words that stand after it; None where there is neither."""
    percent: bool
    words: bool
    """Whether it is a word or a phrase, not math."""


_THOUSANDS = re.compile(r"([+-]?)(\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+)(\.\d+)?")
_TEXT = TEXT_OPEN + r"\s*[^\d" + TEXT_OPEN + TEXT_CLOSE + r"]{0,40}" + TEXT_CLOSE
_TEXT_UNIT = re.compile(
    rf"(?<=[^\s{TEXT_OPEN}])\s*({_TEXT}(?:\s*\^\s*(?:\{{-?\d\}}|\d))?(?:\s*/\s*{_TEXT}(?:\^\d)?)*)$"
)
_BARE_UNIT = re.compile(rf"(?<=[\d}})\s%])\s*({UNIT}|\^\s*\\circ)(\s*\^\s*(?:\{{\d\}}|\d))?$", re.IGNORECASE)
_PERCENT = re.compile(r"(?<=[\d}) ])\s*(?:%|per ?cent)$", re.IGNORECASE)
_TRAILING = " .,;:"


def read_atom(text: str) -> Atom:
    """One element of a cleaned answer: its unit, percent sign and trailing punctuation set apart."""
    text, unit = text.strip().rstrip(_TRAILING), None
    if found := _TEXT_UNIT.search(text):
        if _plain(found.group(1)).lower() in ("percent", "per cent", "%"):
            text = text[: found.start()] + "%"
        elif not re.search(r"\b(?:and|or|not)\b", found.group(1)):
            unit = canonical_unit(_plain(found.group(1))) or _plain(found.group(1)).lower().removesuffix("s")
            text = text[: found.start()]
    stood_in_text = TEXT_OPEN in text
    text = re.sub(r"\s+", " ", text.replace(TEXT_OPEN, " ").replace(TEXT_CLOSE, " ")).strip().rstrip(_TRAILING)
    if found := _BARE_UNIT.search(text):
        unit = canonical_unit(found.group(1) + re.sub(r"[\s{}]", "", found.group(2) or ""))
        text = text[: found.start()].rstrip()
    percent = bool(found := _PERCENT.search(text))
    if found:
        text = text[: found.start()].rstrip()
    if number := _THOUSANDS.fullmatch(text):
        text = number[1] + number[2].replace(",", "").replace(" ", "") + (number[3] or "")
    words = (
        re.fullmatch(r"[a-zA-Z][a-zA-Z' -]*", text) is not None and (stood_in_text or len(text) > 3) and len(text) > 1
    )
    return Atom(text, _key(text), unit, percent, words)


def _key(text: str) -> str:
    text = re.sub(r"\s*(\\[a-zA-Z]+)\s+(?![a-zA-Z])", r"\1", text)
    text = re.sub(r"(?<!\d) | (?!\d)", "", re.sub(r"(\\[a-zA-Z]+) (?=[a-zA-Z])", r"\1{}", text))
    return re.sub(r"([\^_])\{(\w)\}", r"\1\2", text)


def _plain(text: str) -> str:
    return re.sub(rf"[\s{{}}{TEXT_OPEN}{TEXT_CLOSE}]+", " ", text).strip()


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cf":
        return ""  # zero-width characters and the like
    if category in ("Cc", "Cs") and character not in "\t\n\r":
        return "\ufffd"
    return character


def _without_styles(text: str) -> str:
    r"""Style commands replaced by their contents; those of text, such as \text{cm}, marked. Linear."""
    pieces: list[str] = []
    closings: list[str] = []  # what each open brace becomes when it closes
    position = 0
    while position < len(text):
        if style := _STYLES.match(text, position):
            stands = _WORDS_STAND_IN.fullmatch(style.group(1)) is not None
            pieces.append(TEXT_OPEN if stands else "")
            closings.append(TEXT_CLOSE if stands else "")
            position = style.end()
            continue
        if brace := _BRACE.match(text, position):
            mark = brace.group()
            if mark == "{":
                closings.append("}")
            elif mark == "}":
                mark = closings.pop() if closings else mark
            pieces.append(mark)
            position = brace.end()
            continue
        next_special = _SPECIAL.search(text, position + 1)
        end = next_special.start() if next_special else len(text)
        pieces.append(text[position:end])
        position = end
    return "".join(pieces)
