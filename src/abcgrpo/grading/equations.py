r"""Equations as answers: the value behind a label (x = 5), the last side of a chain (x = 40 + 2 = 42).

A label is a name: a letter, f(x), ABC, \angle A, words. Where both sides have one, it must be the same. An equation
that still has to be solved for its only unknown, such as 2x = 84, is no answer.
"""

import re
from dataclasses import replace
from fractions import Fraction

from abcgrpo.grading.atoms import Atom, key_of
from abcgrpo.grading.expressions import GREEK, Node
from abcgrpo.grading.rationals import rational
from abcgrpo.grading.reading import read
from abcgrpo.grading.structure import Collection, read_structure

_LETTER = rf"(?:[a-zA-Z]|\\(?:{'|'.join(sorted(GREEK))})(?![a-zA-Z]))"
_NAME = rf"{_LETTER}(?:_(?:\w|\{{[\w, +-]{{1,12}}\}}|\\[a-z]+))?'*"
_LABEL = re.compile(
    rf"{_NAME}(?:\s?\((?P<argument>(?:[^()=<>]|\([^()=<>]*\)){{1,20}})\))?|[A-Z]{{2,4}}|\\(?:angle|triangle|overline|vec|overrightarrow)\s?"
    rf"(?:\{{?[A-Z]{{1,4}}\}}?)|\|[A-Za-z]{{1,2}}\||[a-zA-Z][a-zA-Z ]{{3,40}}"
)
_FUNCTION_NAMES = frozenset("fghFGH")
_QUANTITIES = frozenset(("sin", "cos", "tan", "cot", "sec", "csc"))
_APPROXIMATION = re.compile(r"\\approx\s*(-?\d+(?:\.\d+)?)$")
_CLOSE = Fraction(1, 20)
_OTHER_RELATION = re.compile(
    r"[<>]|!\s*=|\\(?:le|ge|ne|lt|gt|in|notin|approx|sim|not|cong|propto|subset|subseteq)(?![a-zA-Z])"
)
_CONGRUENT = re.compile(r"\\equiv(?![a-zA-Z])")
_MODULUS = re.compile(r"\\pmod\s*(?:\{[^{}]*\}|\w+)\s*$")
_BRACKET = re.compile(r"\\[{}]|[()\[\]{}=]")


def sides_of(text: str) -> list[str]:
    """What stands between the signs of equality outside all brackets; one side where there is no equation."""
    if "=" not in text or _OTHER_RELATION.search(text):
        return [text]
    depth, start, sides = 0, 0, []
    for found in _BRACKET.finditer(text):
        mark = found.group()
        if mark == "=" and depth == 0:
            sides.append(text[start : found.start()].strip())
            start = found.end()
        depth += mark in ("(", "[", "{", "\\{")
        depth -= mark in (")", "]", "}", "\\}")
    return [*sides, text[start:].strip()]


def is_label(text: str) -> bool:
    """Whether a side is a name, not a value."""
    text = text.strip()
    found = _LABEL.fullmatch(text)
    if found is None:
        return False
    is_product = found["argument"] and text[0] not in _FUNCTION_NAMES and text[0] in found["argument"]
    return not is_product  # f(x) is a name, n(n+1) is none


def labelled(atom: Atom) -> tuple[str, Atom] | None:
    """The label and the value of "x = 5" or "5 = x"; None for all else."""
    sides = sides_of(atom.text)
    if len(sides) != 2 or not all(sides):
        return None
    if is_label(sides[1]) and not is_label(sides[0]) and not atom.prose:
        sides.reverse()
    if not is_label(sides[0]):
        return None
    value = side_value(sides[1], atom)
    return None if value is None else (key_of(sides[0]), value)


def without_approximation(atom: Atom) -> Atom:
    r"""3/4 of "3/4 \\approx 0.75": a decimal that comes near says nothing new."""
    found = _APPROXIMATION.search(atom.text)
    if found is None or not found.start():
        return atom
    before, near = atom.text[: found.start()].strip(), Fraction(found[1])
    exact = rational(before)
    if exact is not None and abs(exact - near) > _CLOSE * abs(exact):
        return atom
    return replace(atom, text=before, key=key_of(before))


def side_value(text: str, whole: Atom) -> Atom | None:
    """One side of an equation; unit and percent sign are those of the whole. None if it is no single element."""
    part = read_structure(text)
    if isinstance(part, Collection) or not part.key:
        return None
    return replace(part, unit=part.unit or whole.unit, percent=part.percent or whole.percent)


def chain_value(atom: Atom) -> tuple[Atom, list[Node]] | None:
    """The last side of a chain, and the sides before it that algebra must find equal to it.

    None if the chain gives no value: another side is a different number, or an expression in its only unknown.
    """
    sides = sides_of(atom.text)
    if is_label(sides[-1]) and not is_label(sides[0]):
        sides.reverse()
    if not all(sides[1:]):
        return None  # "= 42" has one side
    value = side_value(sides[-1], atom)
    if value is None:
        return None
    number = rational(value.text)
    to_check: list[Node] = []
    for side in filter(None, sides[:-1]):
        known, node = rational(side), read(side)
        if known is not None and known != number:
            if number is not None or value.percent:
                return None
            to_check += [node] if node else []
        elif known is None and not is_label(side):
            unknowns = free_symbols(node) if node else set()
            if len(unknowns) == 1 and not (node and _is_quantity(node)):
                return None
            if node and not unknowns:
                to_check.append(node)
    return value, to_check


def congruence_value(atom: Atom) -> Atom | None:
    """The residue of "2^{10} \\equiv 3 \\pmod 7"; None for all else."""
    if not _CONGRUENT.search(atom.text) or not (modulus := _MODULUS.search(atom.text)):
        return None
    return side_value(_CONGRUENT.split(atom.text[: modulus.start()])[-1].strip(), atom)


def _is_quantity(node: Node) -> bool:
    """Whether it is what may have been asked for: the cosine of an angle, not an equation for the angle."""
    return node.kind == "function" and node.parts[0] in _QUANTITIES and node.nodes[0].kind == "symbol"


def free_symbols(node: Node) -> set[str]:
    """The unknowns of an expression: the index of a sum and the variable of an integral do not count."""
    if node.kind == "symbol":
        return {str(node.parts[0])}
    found: set[str] = set().union(*map(free_symbols, node.nodes))
    bound = node.nodes[1] if node.kind in ("series", "integral", "limit") else None
    return found - {str(bound.parts[0])} if bound else found


def is_solved(relation: Node) -> bool:
    """Whether a relation in one unknown says what that is: x = 5, -3 < x < 3, |x - 1| < 2, but not 2x < 6."""
    unknowns = free_symbols(relation)
    return len(unknowns) == 1 and all(
        not free_symbols(side)
        or side.kind == "symbol"
        or (side.kind == "function" and side.parts[0] == "abs" and _is_shifted_symbol(side.nodes[0]))
        for side in relation.nodes
    )


def _is_shifted_symbol(node: Node) -> bool:
    if node.kind == "sum":
        return sum(_is_shifted_symbol(part) for part in node.nodes if free_symbols(part)) == 1
    return node.kind == "symbol"
