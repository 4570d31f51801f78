r"""The outer shape of an answer: one element, or a list, set, tuple or interval of elements."""

import re
from dataclasses import dataclass

from abcgrpo.grading.atoms import Atom, plain_words, read_atom
from abcgrpo.grading.normalization import TEXT_CLOSE, TEXT_OPEN
from abcgrpo.grading.number_words import number_of_words

_DEEPEST = 8
_OPENING = {"(": ")", "[": "]", "\\{": "\\}", "\\langle": "\\rangle"}
_TOKEN = re.compile(r"\\[{}]|\\[lr]angle(?![a-z])|\\(?:begin|end)\{|\\.|[()\[\]{},;]", re.DOTALL)
_CONJUNCTION = re.compile(rf"[{TEXT_OPEN}\s]+(?:and|or)[{TEXT_CLOSE}\s]+")
_LABEL_OF_LIST = re.compile(
    r"(?:[a-zA-Z](?:_\w)?|\((?P<names>[a-zA-Z](?:_\w)?(?:\s?,\s?[a-zA-Z](?:_\w)?){1,4})\))\s?(?:=|\\in(?![a-z]))\s?"
)
_CONDITION = re.compile(r"[<>|:]|\\(?:mid|le|ge|ne|lt|gt|in)(?![a-zA-Z])")
_ONE_NUMBER = re.compile(rf"(?:{TEXT_OPEN}[a-z ]+{TEXT_CLOSE}\s*)?[+-]?\d{{1,3}}(?:,\d{{3}})+(?:\.\d*)?\D{{0,60}}")


@dataclass(frozen=True, slots=True)
class Collection:
    kind: str
    r"""The brackets: "()", "[]", "(]", "[)", "{}" for \{…\}, "list" if there are none."""
    items: tuple["Collection | Atom", ...]
    labels: tuple[str, ...] = ()
    """The names of the elements, in their order, where the answer gives them: (x, y) = (1, 2)."""


def read_structure(text: str, depth: int = 0) -> Collection | Atom:
    r"""A cleaned answer taken apart at its outer brackets and commas; \pm is a list of two; (5) is 5."""
    text = text.lstrip(" ,;").rstrip(" .,;")
    if (number := number_of_words(plain_words(text))) is not None:
        return Atom(str(number), str(number))
    if depth > _DEEPEST or "\\begin{" in text:
        return read_atom(text)
    if depth == 0 and _CONJUNCTION.search(text):
        text = re.sub(r",\s*,", ",", _CONJUNCTION.sub(" , ", text))
    bare = text[label.end() :] if (label := _LABEL_OF_LIST.match(text)) else text
    if (enclosed := _enclosed(bare)) is not None:
        kind, inside = enclosed
        parts = _split(inside)
        if kind == "{}" and _CONDITION.search(inside):
            return read_atom(text)  # a set by what its members fulfil
        if len(parts) > 1 or kind == "{}":
            items = tuple(read_structure(part, depth + 1) for part in parts if part.strip())
            labels = tuple(re.split(r"\s?,\s?", label["names"])) if label and label["names"] else ()
            return Collection(kind, items, labels if len(labels) == len(items) else ())
        if kind in ("()", "[]") and inside.strip():
            return read_structure(inside, depth + 1)
        return read_atom(text)
    if bare.strip() == "\\emptyset":
        return Collection("{}", ())
    parts = _split(text)
    if len(parts) > 1 and not _ONE_NUMBER.fullmatch(text):
        return Collection("list", tuple(read_structure(part, depth + 1) for part in parts if part.strip()))
    if re.search(r"\\pm(?![a-zA-Z])", text):
        signs = (("+", "-"), ("-", "+"))
        return Collection("list", tuple(read_atom(_with_signs(text, plus, minus)) for plus, minus in signs))
    return read_atom(text)


def _with_signs(text: str, plus: str, minus: str) -> str:
    text = re.sub(r"\\pm(?![a-zA-Z])", plus, text)
    text = re.sub(r"\\mp(?![a-zA-Z])", minus, text)
    return re.sub(r"^((?:[a-zA-Z]\s?=)?)\s*\+\s*", r"\1", text)


def _enclosed(text: str) -> tuple[str, str] | None:
    """(kind, inside) where the first bracket closes with the last sign of the text; None otherwise."""
    depth = 0
    first: re.Match[str] | None = None
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in ("(", "[", "{", "\\{", "\\langle") or mark == "\\begin{":
            if depth == 0:
                if first is not None or token.start() != 0 or mark not in _OPENING:
                    return None
                first = token
            depth += 1
        elif mark in (")", "]", "}", "\\}", "\\rangle"):
            depth -= 1
            if depth == 0 and first is not None:
                if token.end() != len(text):
                    return None
                return _kind(first.group(), mark, text[first.end() : token.start()])
    return None


def _kind(opening: str, closing: str, inside: str) -> tuple[str, str] | None:
    if opening in ("(", "[") and closing in (")", "]"):
        return opening + closing, inside
    if _OPENING[opening] != closing:
        return None
    return ("{}" if opening == "\\{" else "()"), inside


def _split(text: str) -> list[str]:
    """The parts between commas and semicolons that stand in no bracket."""
    depth, start, parts = 0, 0, []
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in ("(", "[", "{", "\\{", "\\langle") or mark == "\\begin{":
            depth += 1
        elif mark in (")", "]", "}", "\\}", "\\rangle"):
            depth -= 1
        elif mark in ",;" and depth == 0:
            parts.append(text[start : token.start()])
            start = token.end()
    return [*parts, text[start:]]
