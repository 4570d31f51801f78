r"""Collections compared member by member.

Lists without brackets and \{sets\} are unordered; tuples, intervals and lists in brackets are ordered. A list and a
tuple in (parentheses) with the same elements in the same order agree: one side left the parentheses out. Names decide
where both sides give them, and (y, x) = (1, 2) is not (1, 2), whose order is that of the alphabet.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from abcgrpo.grading.atoms import Atom
from abcgrpo.grading.equations import labelled
from abcgrpo.grading.rationals import rational
from abcgrpo.grading.structure import Collection

Comparison = Callable[[Atom, Atom], bool | None]
_MOST_COMPARISONS = 4096


def compare_structures(gold: Collection | Atom, answer: Collection | Atom, atoms: Comparison) -> bool | None:
    """Element by element, with `atoms` for the elements; the kinds of brackets must agree. None: cannot tell."""
    if isinstance(gold, Atom) and isinstance(answer, Atom):
        return atoms(gold, answer)
    if isinstance(gold, Atom):
        return _compare_with_atom(gold, answer, lambda atom, member: compare_structures(atom, member, atoms))
    if isinstance(answer, Atom):
        return _compare_with_atom(answer, gold, lambda atom, member: compare_structures(member, atom, atoms))
    gold, answer = _named(gold), _named(answer)
    if gold.labels and answer.labels:
        return _compare_named(gold, answer, atoms)
    if {gold.kind, answer.kind} <= {"list", "{}"}:
        return _same_members(gold.items, answer.items, atoms)
    if gold.kind != answer.kind and {gold.kind, answer.kind} != {"list", "()"}:
        return False
    if len(gold.items) != len(answer.items) or (answer.labels and not _in_alphabetical_order(answer.labels)):
        return False
    return _all(compare_structures(one, other, atoms) for one, other in zip(gold.items, answer.items, strict=True))


def _compare_with_atom(
    atom: Atom, collection: Collection | Atom, compare_both: Callable[[Atom, Collection | Atom], bool | None]
) -> bool | None:
    r"""5 against \{5\} is 5 against 5. "x > 3" may be (3, ∞): relations go to algebra, single numbers do not."""
    if isinstance(collection, Collection) and collection.kind in ("list", "{}") and len(collection.items) == 1:
        return compare_both(atom, collection.items[0])
    return False if rational(atom.text) is not None or atom.words else None


def _named(collection: Collection) -> Collection:
    """ "x = 1, y = 2" as (1, 2) with the names (x, y)."""
    if collection.kind != "list":
        return collection
    parts = [labelled(item) if isinstance(item, Atom) else None for item in collection.items]
    labels = tuple(part[0] for part in parts if part is not None)
    if len(labels) < len(parts) or len(set(labels)) < len(labels):
        return collection
    return replace(collection, items=tuple(part[1] for part in parts if part is not None), labels=labels)


def _compare_named(gold: Collection, answer: Collection, atoms: Comparison) -> bool | None:
    names, other_names = ([name.casefold() for name in side.labels] for side in (gold, answer))
    if sorted(names) != sorted(other_names):
        return False
    items = dict(zip(other_names, answer.items, strict=True))
    return _all(compare_structures(one, items[name], atoms) for name, one in zip(names, gold.items, strict=True))


def _in_alphabetical_order(labels: tuple[str, ...]) -> bool:
    return list(labels) == sorted(labels)


def _same_members(gold: tuple, answer: tuple, atoms: Comparison) -> bool | None:
    """As sets: every element of either side is one of the other's."""
    if len(gold) * len(answer) > _MOST_COMPARISONS:
        return False
    if not gold or not answer:
        return not gold and not answer
    table = [[compare_structures(one, other, atoms) for other in answer] for one in gold]
    return _all([*map(_any, table), *map(_any, zip(*table, strict=True))])


def _all(values: Iterable[bool | None]) -> bool | None:
    found = list(values)
    return False if False in found else None if None in found else True


def _any(values: Iterable[bool | None]) -> bool | None:
    found = list(values)
    return True if True in found else None if None in found else False
