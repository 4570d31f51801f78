r"""Two answers compared without computer algebra: as texts, exact numbers, choices, numerals of a base, ratios, times.

Everything answers True, False, or None for "cannot tell": then, and only then, a worker process is asked. What cannot
be read (`reading`) is different from everything but itself.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from abcgrpo.grading.atoms import Atom, read_atom
from abcgrpo.grading.clock import read_time
from abcgrpo.grading.equations import chain_value, congruence_value, is_label, labelled, sides_of, without_approximation
from abcgrpo.grading.expressions import Node, is_notation
from abcgrpo.grading.members import compare_structures
from abcgrpo.grading.normalization import TEXT_CLOSE, TEXT_OPEN, clean
from abcgrpo.grading.rationals import rational
from abcgrpo.grading.reading import read
from abcgrpo.grading.structure import Collection, read_structure

LONGEST_ANSWER = 4000
"""Longer golds and answers, in characters, are compared as texts only."""

_CHOICE = re.compile(r"\(?([A-J])\)?(?:[.):](?!.*\([A-J]\))\s*\S.*)?|(?i:option|choice|answer)\s*\(?([A-J])\)?")
_GOLD_CHOICE = re.compile(r"\(?([A-J])\)?")
_NUMERAL = re.compile(r"\(?([0-9A-Za-z]{1,400})\)?_\{?([0-9]{1,2}|[a-z]{3,10})\}?")
_BASE_NAMES = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_BASES = {**{name: base for base, name in enumerate(_BASE_NAMES, 2)}, "sixteen": 16}
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_RESTATES = re.compile(
    r"\\(?:sum|prod|i*int|oint|lim|limsup|liminf|gcd|lcm|det|max|min|sup|inf|bmod|pmod|ldots)(?![a-z])|\{[vV]matrix\}|\|\s*\\begin"
)
_ALTERNATIVE = re.compile(rf"[{TEXT_OPEN}\s,]+or[{TEXT_CLOSE}\s]+")


def compare(gold: str, answer: str) -> bool | None:
    """Whether the answer is the gold's: True or False where that is certain, None if only algebra can tell.

    Args:
        gold: the gold answer, without a box.
        answer: the content of the response's box.
    """
    if gold.strip() == answer.strip():
        return True
    if max(len(gold), len(answer)) > LONGEST_ANSWER:
        return False
    decided = compare_structures(structure_of(gold), structure_of(answer), compare_atoms)
    return False if decided is None and not (can_be_read(gold) and can_be_read(answer)) else decided


def makes_sense(gold: str) -> bool:
    """Whether a gold can be somebody's answer: read, or at least made of words and well-formed notation."""
    if len(gold) > LONGEST_ANSWER or _PLAIN_NUMBER.fullmatch(gold) or can_be_read(gold):
        return True
    return _all_atoms(structure_of(gold), lambda atom: atom.words or is_notation(atom.text) or _is_exact(atom))


@lru_cache(maxsize=4096)
def can_be_read(text: str) -> bool:
    """Whether the text as a whole, or each of its elements, has a meaning that can be compared."""
    elements = _all_atoms(structure_of(text), lambda atom: atom.words or _is_exact(atom) or _readable(atom))
    return elements or whole(text) is not None


@lru_cache(maxsize=4096)
def structure_of(text: str) -> Collection | Atom:
    """A text of at most `LONGEST_ANSWER` characters, cleaned and taken apart."""
    if _PLAIN_NUMBER.fullmatch(text):  # most answers: the result is the same, sooner
        return Atom(text, text)
    return read_structure(clean(text))


def whole(text: str) -> Node | None:
    """A text read as one expression, set or relation, brackets and commas included."""
    atom = read_atom(clean(text))
    return None if atom.prose or atom.unit else read(atom.text)


def alternatives(text: str) -> list[Node] | None:
    """The relations of "x < 1 or x > 2"; None for all else."""
    parts = [read_atom(part) for part in _ALTERNATIVE.split(clean(text))]
    nodes = [read(part.text) for part in parts if not part.prose]
    relations = [node for node in nodes if node is not None and node.kind == "relation" and len(node.symbols()) == 1]
    same = {symbol for node in relations for symbol in node.symbols()}
    return relations if len(relations) == len(parts) > 1 and len(same) == 1 else None


def compare_atoms(gold: Atom, answer: Atom) -> bool | None:
    """One element against another; see the module's docstring."""
    answer = without_approximation(answer)
    if gold.key == answer.key and gold.percent == answer.percent:
        return gold.unit == answer.unit or not (gold.unit and answer.unit)
    if _GOLD_CHOICE.fullmatch(gold.key):
        choice = _CHOICE.fullmatch(answer.text)
        if choice:
            return (choice[1] or choice[2]) == gold.key.strip("()")
    if (decided := _compare_times(gold, answer)) is not None:
        return decided
    if (gold.unit and answer.unit and gold.unit != answer.unit) or (
        (gold.unit and answer.percent) or (answer.unit and gold.percent)
    ):
        return False
    if (decided := _compare_numerals(gold, answer)) is not None:
        return decided
    if ratio_parts(gold) or ratio_parts(answer):
        return _compare_ratios(ratio_parts(gold), ratio_parts(answer), gold, answer)
    if len(sides_of(gold.text)) > 1 or len(sides_of(answer.text)) > 1:
        return _compare_equations(gold, answer)
    return _compare_values(gold, answer)


def _compare_values(gold: Atom, answer: Atom) -> bool | None:
    one, other = rational(gold.text), rational(answer.text)
    if one is not None and other is not None:
        return any(a == b for a, b in _readings(one, gold.percent, other, answer.percent))
    if (gold.words or answer.words) and (gold.words or gold.key.isalpha()) and (answer.words or answer.key.isalpha()):
        return re.sub("[ '-]", "", gold.text).casefold() == re.sub("[ '-]", "", answer.text).casefold()
    if (gold.words and other is not None) or (answer.words and one is not None) or not answer.key:
        return False
    if one is not None and (residue := congruence_value(answer)) is not None:
        return rational(residue.text) == one
    if _RESTATES.search(answer.text) and not _RESTATES.search(gold.text):
        return False  # the problem restated, not solved
    return None if _readable(gold) and _readable(answer) else False


def _compare_equations(gold: Atom, answer: Atom) -> bool | None:
    """At least one side is an equation: by labels and values, or else by algebra."""
    one, other = labelled(gold), labelled(answer)
    if one is not None and other is not None:
        if one[0].casefold() != other[0].casefold():
            return None if not _constant(one[1]) and not _constant(other[1]) else False
        return compare_atoms(one[1], other[1])
    if len(sides_of(gold.text)) == 1:
        if (chain := chain_value(answer)) is None:
            return False
        decided = compare_atoms(gold, chain[0])
        return None if decided and chain[1] else decided
    if len(sides_of(answer.text)) == 1:
        if one is not None:
            return compare_atoms(one[1], answer)
        chain = chain_value(gold) if is_label(sides_of(gold.text)[0]) else None
        return False if chain is None else compare_atoms(chain[0], answer)
    return None if _readable(gold) and _readable(answer) else False


def _constant(atom: Atom) -> bool:
    node = read(atom.text)
    return node is None or not node.symbols()


def _readable(atom: Atom) -> bool:
    return not atom.prose and read(atom.text) is not None


def _is_exact(atom: Atom) -> bool:
    """Whether exact comparison knows what to do with an element that cannot be read as mathematics."""
    known = rational(atom.text) is not None or _numeral(atom) or ratio_parts(atom) or read_time(atom.text, atom.unit)
    if known:
        return True
    sides = sides_of(atom.text)
    return len(sides) > 1 and is_label(sides[0]) and all(map(_readable, map(read_atom, sides[1:])))


def _all_atoms(part: Collection | Atom, holds: Callable[[Atom], object]) -> bool:
    return bool(holds(part)) if isinstance(part, Atom) else all(_all_atoms(item, holds) for item in part.items)


def _readings(
    one: Fraction, one_percent: bool, other: Fraction, other_percent: bool
) -> list[tuple[Fraction, Fraction]]:
    """The pairs of numbers to compare: 50% is 50% alone, but also 50 and 0.5 where the other side has no sign."""
    if one_percent == other_percent:
        return [(one, other)]
    return [(one, other), (one / 100, other) if one_percent else (one, other / 100)]


def _compare_times(gold: Atom, answer: Atom) -> bool | None:
    one, other = read_time(gold.text, gold.unit), read_time(answer.text, answer.unit)
    if one and other and (one.certain or other.certain or (one.minute and other.minute)):
        return one.same(other)
    if (one and one.certain) or (other and other.certain):
        return False if ":" in gold.text + answer.text else None
    return None


def _compare_numerals(gold: Atom, answer: Atom) -> bool | None:
    """Numerals with a base: both stated, the values count; stated on one side only, the digits."""
    one, other = _numeral(gold), _numeral(answer)
    if one and other:
        return int(*one) == int(*other)
    if one or other:
        digits, plain = (one[0], answer) if one else (other[0], gold) if other else ("", gold)
        if re.fullmatch("[0-9A-Za-z]+", plain.key):
            return digits.lower() == plain.key.lower()
    return None


def _numeral(atom: Atom) -> tuple[str, int] | None:
    found = _NUMERAL.fullmatch(atom.key)
    if not found or not any(character.isdigit() for character in found[1]):
        return None
    base = _BASES.get(found[2], 0) if found[2].isalpha() else int(found[2])
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in found[1]):
        return None
    return found[1], base


def _compare_ratios(
    one: tuple[Atom, ...] | None, other: tuple[Atom, ...] | None, gold: Atom, answer: Atom
) -> bool | None:
    """Ratios by their terms, in order; a ratio of two numbers is also their quotient."""
    if one and other:
        if len(one) != len(other):
            return False
        terms, other_terms = ([rational(part.text) for part in parts] for parts in (one, other))
        if None not in terms and None not in other_terms:
            pairs = zip(terms, other_terms, strict=True)
            return all(a * other_terms[0] == b * terms[0] for a, b in pairs)  # type: ignore[operator]
        return None
    ratio, plain = (one, rational(answer.text)) if one else (other or (), rational(gold.text))
    first, second = (rational(part.text) for part in ratio) if len(ratio) == 2 else (None, None)
    return plain is not None and first is not None and second is not None and first == plain * second


@lru_cache(maxsize=2048)
def ratio_parts(atom: Atom) -> tuple[Atom, ...] | None:
    """The terms of a ratio, 1:2:3; None for all else, and where a term is zero."""
    if ":" not in atom.text or "\\{" in atom.text or atom.prose:
        return None
    parts = tuple(map(read_atom, atom.text.split(":")))
    if not all(_readable(part) and part.unit is None and rational(part.text) != 0 for part in parts):
        return None
    return tuple(replace(part, percent=False) for part in parts)
