r"""One way of writing what LaTeX and Unicode write in many: both the gold and the answer go through here.

Unicode, styles, spacing, currencies, repeating decimals. `atoms` then works on one element of an answer.
"""

import re
import unicodedata

from abcgrpo.grading.expressions import FUNCTIONS
from abcgrpo.grading.units import CURRENCIES, is_known_unit

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
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}",
    "⟨": r"\langle ", "⟩": r"\rangle ", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2007": " ",
}  # fmt: skip
_CHARACTERS = str.maketrans({**_SYMBOLS, TEXT_OPEN: "\ufffd", TEXT_CLOSE: "\ufffd", _SEPARATOR: "\ufffd"})

_STYLES = re.compile(
    r"\\(text(?:bf|it|rm|sf|tt|normal|up)?|mbox|hbox|mathrm|emph|operatorname\*?"
    r"|math(?:bf|it|sf|tt|cal|normal)|boldsymbol|bm|pmb|boxed|fbox|underline|ensuremath|displaystyle)\s*\{"
)
_WORDS_STAND_IN = re.compile(r"text.*|mbox|hbox|mathrm|emph")
_BRACE = re.compile(r"\\[{}\\]|[{}]")
_SPECIAL = re.compile(r"[\\{}]")


def _joined(found: re.Match[str]) -> str:
    return found[1].replace("\\,", "")


def _blackboard(found: re.Match[str]) -> str:
    return rf"\mathbb{{{found[1] or found[2]}}}"


_REWRITINGS = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"\\(?:left|right|big|Big|bigg|Bigg|bigl|bigr|Bigl|Bigr|biggl|biggr)(?![a-zA-Z])\s*\.?", ""),
        (r"\\(?:displaystyle|textstyle|limits|nolimits|bf|rm|it|sf|tt|strut|boldmath)(?![a-zA-Z])", " "),
        (
            r"\\hspace\*?\{[^{}]{0,20}\}|\\(?:quad|qquad|enspace|thinspace|medspace|hfill|par)(?![a-zA-Z])",
            " ",
        ),
        (r"(?<=\d)(?:\{,\}(?:\\!)?|,\\!)(?=\d)", _SEPARATOR),
        (r"(?<=\d)(?:\\,|\\!){1,2}(?=\d{3}(?!\d))", ""),
        (r"(\.\d{3}(?:\\,\d{3})*)\\,(?=\d{1,3}(?!\d))", _joined),
        (r"\{\s*([:=])\s*\}", r"\1"),
        (r"\\(?:boxed|fbox)\s*(?=-?\d)", ""),
        (r"\\(?:mathrm|mathit|mathbf|text)\s+([a-zA-Z])(?![a-zA-Z])", r" \1 "),
        (r"(?<!\\)\\[,;:> \n]|~", " "),
        (r"\\!", ""),
        (r"\\(?:text)?color\s*\{[^{}]{0,40}\}", ""),
        (r"\\\\\s*$", ""),
        (r"(?<!\\)\\[()\[\]]|\$|\*\*|`", " "),
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\\[dt]binom(?![a-zA-Z])", r"\\binom"),
        (r"\\(?:cdot|times|ast)(?![a-zA-Z])|\*", r"\\cdot "),
        (r"\\div(?![a-zA-Z])", "/"),
        (r"\\l?brace(?![a-zA-Z])", r"\\{"),
        (r"\\rbrace(?![a-zA-Z])", r"\\}"),
        (r"\\leq(?:slant)?(?![a-zA-Z])", r"\\le "),
        (r"\\geq(?:slant)?(?![a-zA-Z])", r"\\ge "),
        (r"\\mathbb\s*([A-Z])|\\([RNZQC])(?![a-zA-Z])", _blackboard),
        (r"\\(?:smallsetminus)(?![a-zA-Z])", r"\\setminus "),
        (r"\(\s*\\?(?:b|p)?mod(?![a-z])\s*([0-9a-zA-Z]{1,9})\s*\)", r"\\pmod{\1}"),
        (r"\\neq(?![a-zA-Z])|\\not\s*=", r"\\ne "),
        (r"\\[lr]?vert(?![a-zA-Z])", "|"),
        (r"\\varnothing(?![a-zA-Z])", r"\\emptyset "),
        (r"\\(?:dots|cdots)(?![a-zA-Z])", r"\\ldots "),
        (r"\\colon(?![a-zA-Z])", ":"),
        (r"\\(?:degree|textdegree)(?![a-zA-Z])|\^\s*\{\s*\\circ\s*\}", r"^\\circ "),
        (r"\\(?:percent|%)", "%"),
        (r"\\(?:overline|bar)(?![a-zA-Z])\s*(\d)", r"\\overline{\1}"),
        (r"\\bar\s*\{", r"\\overline{"),
        (
            r"(\.\d*)\\dot(?:\{(\d+)\}|\s*(\d))(?:(\d*)\\dot(?:\{(\d)\}|\s*(\d)))?",
            lambda found: rf"{found[1]}\overline{{{''.join(digits or '' for digits in found.groups()[1:])}}}",
        ),
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
    """The answer with one spelling for each sign, no styles, no spacing commands, no delimiters of mathematics.

    What stood in a command for text is left between `TEXT_OPEN` and `TEXT_CLOSE`.
    """
    text = answer if answer.isascii() and answer.isprintable() else _plain_characters(answer)
    text = _without_needless_text(_without_styles(_with_currencies(text)))
    for pattern, replacement in _REWRITINGS:
        text = pattern.sub(replacement, text)
    if re.search(rf"{_SEPARATOR}\d{{1,2}}(?!\d)", text):
        return text.replace(_SEPARATOR, ",").strip()  # groups of other than three digits: a list
    return text.replace(_SEPARATOR, "").strip()


def _plain_characters(answer: str) -> str:
    text = re.sub(
        "[⁰¹²³⁴-⁹⁺⁻ⁿ]+", lambda run: "^{" + "".join(map(_SUPERSCRIPTS.__getitem__, run.group())) + "}", answer
    )
    text = re.sub("[₀-₉]+", lambda run: "_{" + "".join(map(_SUBSCRIPTS.__getitem__, run.group())) + "}", text)
    text = re.sub(r"√\s*(\d+|[a-zA-Z])", r"\\sqrt{\1}", text).replace("√", r"\sqrt ")
    text = unicodedata.normalize("NFKC", text.translate(_CHARACTERS)).translate(_CHARACTERS)
    # A control character or half of a pair is no mathematics: mark it, so that "4␀2" does not become 42.
    return "".join(_visible(character) for character in text)


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


def _with_currencies(text: str) -> str:
    r"""A sign of currency is the name of its unit, as in \text{…}."""
    return _CURRENCY.sub(lambda sign: f"{TEXT_OPEN}{CURRENCIES[sign.group()]}{TEXT_CLOSE}", text)


_CURRENCY = re.compile(f"(?:{'|'.join(map(re.escape, CURRENCIES))})(?![a-zA-Z])")
_MARKED = re.compile(f"{TEXT_OPEN}([^{TEXT_OPEN}{TEXT_CLOSE}]*){TEXT_CLOSE}")
_ORDINAL = re.compile(
    rf"(\d)\s*(?:\^\s*\{{?)?\s*(?:{TEXT_OPEN}\s*(?:st|nd|rd|th)\s*{TEXT_CLOSE}|th(?![a-zA-Z]))\s*(?:(?<!\^)\}})?"
)


def _without_needless_text(text: str) -> str:
    r"""\text{…} around a letter, a number or a function says nothing; around words it keeps its marks."""
    text = _ORDINAL.sub(_ordinal, text)
    if TEXT_OPEN not in text:
        return text
    for _ in range(3):
        text = _MARKED.sub(_unmarked, text)
    return re.sub(rf"_\s*\{{\s*{TEXT_OPEN}([a-zA-Z ]*){TEXT_CLOSE}\s*\}}", r"_{\1}", text)


def _ordinal(found: re.Match[str]) -> str:
    opened, closed = found.group().count("{"), found.group().count("}")
    return found[1] if opened == closed else found.group()


def _unmarked(found: re.Match[str]) -> str:
    content = re.sub(r"\\[,;:! ]|~|\s", " ", found[1]).strip()
    if is_known_unit(content):
        return f"{TEXT_OPEN}{content}{TEXT_CLOSE}"
    if content in FUNCTIONS:
        return f"\\{content} "
    if content in ("mod", "bmod"):
        return "\\bmod "
    if re.search(r"[^\W\d_]{2}", content) and not re.search(r"\d", content):
        return found.group()
    if re.search(r"(?<![^\W\d_])[apAP]\.\s?[mM]\.?", content):
        return found.group()
    return f" {content} "
