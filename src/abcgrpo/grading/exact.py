r"""Two answers compared without computer algebra: as texts, exact numbers, choices, numerals of a base, ratios.

Everything answers True, False, or None for "cannot tell": then, and only then, a worker process is asked.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

from abcgrpo.grading.normalization import Atom, clean
from abcgrpo.grading.rationals import rational
from abcgrpo.grading.structure import Collection, read_structure

Comparison = Callable[[Atom, Atom], bool | None]

LONGEST_ANSWER = 4000
"""Longer golds and answers, in characters, are compared as texts only."""

_CHOICE = re.compile(r"\(?([A-J])\)?(?:[.):]\s*\S.*)?|(?i:option|choice|answer)\s*\(?([A-J])\)?")
_GOLD_CHOICE = re.compile(r"\(?([A-J])\)?")
_NUMERAL = re.compile(r"\(?([0-9A-Za-z]{1,400})\)?_\{?([0-9]{1,2}|[a-z]{3,10})\}?")
_BASE_NAMES = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_BASES = {**{name: base for base, name in enumerate(_BASE_NAMES, 2)}, "sixteen": 16}
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_RATIO = re.compile(r"([^:]+):([^:]+)")
_RESTATES = re.compile(
    r"\\(?:sum|prod|i*int|oint|lim|limsup|liminf|gcd|lcm|det|max|min|sup|inf|bmod|pmod|ldots)(?![a-z])"
)
_LETTER = (
    r"[a-zA-Z]|[A-Z]{2,4}"
    r"|\\(?:alpha|beta|gamma|delta|epsilon|theta|lambda|mu|phi|varphi|psi|rho|sigma|tau|omega|Delta|angle|ell)"
)
_LABEL = re.compile(rf"(?:{_LETTER})(?:_(?:\w|{{\w{{1,6}}}}))?'*(?:\s?\([a-z0-9]\))?\s?(?:=|\\in(?![a-z]))")
_NOT_AN_EQUATION = re.compile(r"[<>]|!\s*=|\\(?:le|ge|ne|approx|equiv|sim|not)(?![a-zA-Z])")
_RELATION = re.compile(r"[=<>]|\\(?:le|ge|ne|in|approx|equiv)(?![a-zA-Z])")


def compare(gold: str, answer: str, tolerance: float | None = None) -> bool | None:
    """Whether the answer is the gold's: True or False where that is certain, None where only algebra can tell.

    Args:
        gold: the gold answer, without a box.
        answer: the content of the response's box.
        tolerance: relative to the gold; for rational numbers. A benchmark's stated property, or None.
    """
    if gold.strip() == answer.strip():
        return True
    if max(len(gold), len(answer)) > LONGEST_ANSWER:
        return False
    return compare_structures(structure_of(gold), structure_of(answer), lambda a, b: compare_atoms(a, b, tolerance))


def understood(gold: str) -> bool:
    """Whether a gold needs no algebra to be made sense of: numbers, words, choices, and collections of these."""

    def atom_understood(atom: Atom) -> bool:
        value = atom.words or rational(atom.text) is not None or _ratio(atom) or _numeral(atom)
        return bool(value or re.fullmatch("[a-zA-Z]", atom.key))

    def all_understood(part: Collection | Atom) -> bool:
        return atom_understood(part) if isinstance(part, Atom) else all(map(all_understood, part.items))

    return len(gold) <= LONGEST_ANSWER and all_understood(structure_of(gold))


@lru_cache(maxsize=4096)
def structure_of(text: str) -> Collection | Atom:
    """A text of at most `LONGEST_ANSWER` characters, cleaned and taken apart."""
    if _PLAIN_NUMBER.fullmatch(text):  # most answers: the result is the same, sooner
        return Atom(text, text, unit=None, percent=False, words=False)
    return read_structure(clean(text))


def compare_structures(gold: Collection | Atom, answer: Collection | Atom, atoms: Comparison) -> bool | None:
    r"""Collections element by element, with `atoms` for the elements; the kinds of brackets must agree.

    Lists without brackets and \{sets\} are unordered; tuples, intervals and lists in brackets are ordered. A list and a
    tuple in (parentheses) with the same elements in the same order agree: one side left the parentheses out.
    """
    if isinstance(gold, Atom) and isinstance(answer, Atom):
        return atoms(gold, answer)
    if isinstance(gold, Atom):
        return _compare_with_atom(gold, answer, lambda atom, member: compare_structures(atom, member, atoms))
    if isinstance(answer, Atom):
        return _compare_with_atom(answer, gold, lambda atom, member: compare_structures(member, atom, atoms))
    if {gold.kind, answer.kind} <= {"list", "{}"}:
        return _same_members(gold.items, answer.items, atoms)
    if gold.kind != answer.kind and {gold.kind, answer.kind} != {"list", "()"}:
        return False
    if len(gold.items) != len(answer.items):
        return False
    return _all(compare_structures(one, other, atoms) for one, other in zip(gold.items, answer.items, strict=True))


def _compare_with_atom(
    atom: Atom, collection: Collection | Atom, compare_both: Callable[[Atom, Collection | Atom], bool | None]
) -> bool | None:
    r"""5 against \{5\} is 5 against 5. "x > 3" may be (3, ∞): relations go to algebra, single numbers do not."""
    if isinstance(collection, Collection) and collection.kind in ("list", "{}") and len(collection.items) == 1:
        return compare_both(atom, collection.items[0])
    return False if rational(atom.text) is not None or atom.words else None


def compare_atoms(gold: Atom, answer: Atom, tolerance: float | None = None) -> bool | None:
    """One element against another; see the module's docstring."""
    if gold.unit and answer.unit and gold.unit != answer.unit:
        return False
    if gold.key == answer.key and gold.percent == answer.percent:
        return True
    if _GOLD_CHOICE.fullmatch(gold.key):
        choice = _CHOICE.fullmatch(answer.text)
        if choice:
            return (choice[1] or choice[2]) == gold.key.strip("()")
    gold, answer = _without_labels(gold, answer)
    if gold.key == answer.key and gold.percent == answer.percent:
        return True
    for decide in (_compare_numerals, _compare_ratios):
        if (decided := decide(gold, answer)) is not None:
            return decided
    one, other = rational(gold.text), rational(answer.text)
    if one is not None and other is not None:
        return any(_close(a, b, tolerance) for a, b in _readings(one, gold.percent, other, answer.percent))
    if (gold.words or answer.words) and (gold.words or gold.key.isalpha()) and (answer.words or answer.key.isalpha()):
        return re.sub("[ '-]", "", gold.text).casefold() == re.sub("[ '-]", "", answer.text).casefold()
    if (gold.words and other is not None) or (answer.words and one is not None):
        return False
    if not answer.key:
        return False
    if _RESTATES.search(answer.text) and not _RESTATES.search(gold.text):
        return False  # the problem restated, not solved
    if "=" in answer.text and not _RELATION.search(gold.text) and not _NOT_AN_EQUATION.search(answer.text):
        return _compare_chain(gold, answer, tolerance)
    return None


def _compare_chain(gold: Atom, answer: Atom, tolerance: float | None) -> bool | None:
    """ "x + y = 40 + 2 = 42" against 42: the last side counts, and no other may be a different number."""
    sides = [side if isinstance(side, Atom) else None for side in map(read_structure, answer.text.split("="))]
    values = [rational(side.text) if side else None for side in sides]
    known = {value for value in values if value is not None}
    last = sides[-1]
    if len(known) > 1 or last is None or not last.key:
        return False
    return False if known and values[-1] is None else compare_atoms(gold, last, tolerance)


def _readings(
    one: Fraction, one_percent: bool, other: Fraction, other_percent: bool
) -> list[tuple[Fraction, Fraction]]:
    """The pairs of numbers to compare: 50% is 50% alone, but also 50 and 0.5 where the other side has no sign."""
    if one_percent == other_percent:
        return [(one, other)]
    return [(one, other), (one / 100, other) if one_percent else (one, other / 100)]


def _close(gold: Fraction, answer: Fraction, tolerance: float | None) -> bool:
    return gold == answer or (tolerance is not None and abs(gold - answer) <= Fraction(tolerance) * abs(gold))


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


def _compare_ratios(gold: Atom, answer: Atom) -> bool | None:
    one, other = _ratio(gold), _ratio(answer)
    if one and other:
        return one[0] * other[1] == one[1] * other[0]
    if one or other:
        ratio, plain = (one, rational(answer.text)) if one else (other, rational(gold.text))
        if ratio and plain is not None:
            return ratio[0] == plain * ratio[1]
    return None


def _ratio(atom: Atom) -> tuple[Fraction, Fraction] | None:
    if not (found := _RATIO.fullmatch(atom.text)):
        return None
    first, second = rational(found[1].strip()), rational(found[2].strip())
    return (first, second) if first is not None and second is not None and second != 0 else None


def _without_labels(gold: Atom, answer: Atom) -> tuple[Atom, Atom]:
    """ "x = 5" against "5", or against "x=5": the label goes where only one side has it, or both the same."""
    labels = [_LABEL.match(atom.text) for atom in (gold, answer)]
    rests = [
        atom.text[label.end() :] if label else atom.text for label, atom in zip(labels, (gold, answer), strict=True)
    ]
    if any(_RELATION.search(rest) for rest in rests):
        return gold, answer
    if labels[0] and labels[1] and labels[0].group().replace(" ", "") != labels[1].group().replace(" ", ""):
        return gold, answer
    stripped = [
        read_structure(rest) if label else atom for label, rest, atom in zip(labels, rests, (gold, answer), strict=True)
    ]
    if isinstance(stripped[0], Atom) and isinstance(stripped[1], Atom):
        return _with_unit(stripped[0], gold), _with_unit(stripped[1], answer)
    return gold, answer


def _with_unit(part: Atom, original: Atom) -> Atom:
    return Atom(part.text, part.key, part.unit or original.unit, part.percent or original.percent, part.words)


def _same_members(gold: tuple, answer: tuple, atoms: Comparison) -> bool | None:
    """As sets: every element of either side is one of the other's."""
    if len(gold) * len(answer) > 4096:
        return False
    table = [[compare_structures(one, other, atoms) for other in answer] for one in gold]
    return _all([*map(_any, table), *map(_any, zip(*table, strict=True))])


def _all(values) -> bool | None:
    found = list(values)
    return False if False in found else None if None in found else True


def _any(values) -> bool | None:
    found = list(values)
    return True if True in found else None if None in found else False
