r"""Computer algebra, by sympy, for what exact comparison cannot decide. Imported by worker processes only.

Nothing here has a limit of its own. A comparison may run forever or take all memory: the worker process around it has
the limits (see `worker`). What cannot be read, converted or shown to be equal is different.
"""

import random
from collections.abc import Iterator
from typing import Any

import sympy
import sympy.core.random
from sympy import S

from abcgrpo.grading import values
from abcgrpo.grading.atoms import Atom
from abcgrpo.grading.conversion import expression, solution_set, value
from abcgrpo.grading.equations import chain_value, is_solved, labelled, sides_of, without_approximation
from abcgrpo.grading.exact import alternatives, compare_atoms, ratio_parts, structure_of, whole
from abcgrpo.grading.expressions import Node, Unreadable
from abcgrpo.grading.members import compare_structures
from abcgrpo.grading.reading import read

_INEQUALITIES = {"<": 1, "<=": 1, ">": -1, ">=": -1}


def equivalent(gold: str, answer: str) -> bool:
    """Whether the two are equal: element by element where both have elements, as wholes otherwise."""
    random.seed(0)  # some of sympy's tests draw points: the verdict must not depend on what was graded before
    sympy.core.random.seed(0)
    decided = compare_structures(structure_of(gold), structure_of(answer), _atoms_equal)
    if decided is not None:
        return decided
    one, other = whole(gold), whole(answer)
    if one is not None and other is not None and nodes_equal(one, other):
        return True
    return _same_alternatives(gold, answer)


def warm_up() -> None:
    """Compare one of each kind, so that sympy's tables are filled before the workers are forked."""
    for gold, answer in (
        (r"\frac{9 \sqrt{23}}{23}", r"9/\sqrt{23}"),
        (r"1-\frac{2}{\pi}", r"\frac{\pi-2}{\pi}"),
        (r"x^2+2x+1", r"(x+1)^{2}"),
        (r"\frac{1}{x+1}+\cos x", r"\cos(x)+\frac{2}{2x+2}"),
        (r"x > 3", r"(3,\infty)"),
    ):
        equivalent(gold, answer)


def perform(work: dict[str, Any]) -> str:
    """A comparison as a worker's work: "equal" or "different"."""
    try:
        return "equal" if equivalent(work["gold"], work["answer"]) else "different"
    except MemoryError:
        raise
    except Exception:  # algebra that fails has not shown the two to be equal
        return "different"


def nodes_equal(gold: Node, answer: Node) -> bool:
    """Whether two trees mean the same: relations as relations, sets as sets, everything else by its value."""
    gold, answer = _with_one_case(gold, answer)
    if gold == answer:
        return True
    try:
        if gold.kind == answer.kind == "congruence":
            return _congruences_equal(gold, answer)
        if _is_relation(gold) and _is_relation(answer):
            return _relations_equal(gold, answer)
        if _is_relation(gold) or _is_relation(answer):
            return _relation_is_set(gold, answer) if _is_relation(gold) else _relation_is_set(answer, gold)
        return _values_equal(value(gold), value(answer))
    except (Unreadable, NotImplementedError):
        return False


def _atoms_equal(gold: Atom, answer: Atom) -> bool:
    decided = compare_atoms(gold, answer)
    if decided is not None:
        return decided
    if gold.percent != answer.percent:
        return False
    answer = without_approximation(answer)
    if (ratio := ratio_parts(gold)) and (other_ratio := ratio_parts(answer)):
        return _ratios_equal(ratio, other_ratio)
    if len(sides_of(gold.text)) == 1 < len(sides_of(answer.text)):
        return _chain_is(gold, answer)
    one, other = labelled(gold), labelled(answer)
    if one is not None and len(sides_of(answer.text)) == 1:
        return _atoms_equal(one[1], answer)
    if one is not None and other is not None and one[0].casefold() == other[0].casefold():
        return _atoms_equal(one[1], other[1])
    node, other_node = read(gold.text), read(answer.text)
    return node is not None and other_node is not None and nodes_equal(node, other_node)


def _chain_is(gold: Atom, answer: Atom) -> bool:
    """Whether the last side of a chain is the gold, and so is every other side that has a value."""
    chain = chain_value(answer)
    if chain is None or not _atoms_equal(gold, chain[0]):
        return False
    last = read(chain[0].text)
    return not chain[1] or (last is not None and all(nodes_equal(last, side) for side in chain[1]))


def _ratios_equal(gold: tuple[Atom, ...], answer: tuple[Atom, ...]) -> bool:
    one, other = ([expression(node) for part in parts if (node := read(part.text))] for parts in (gold, answer))
    pairs = zip(one, other, strict=True)
    return all(values.equal(a * other[0], b * one[0]) for a, b in pairs)


def _values_equal(gold: Any, answer: Any) -> bool:
    if isinstance(gold, sympy.Expr) and isinstance(answer, sympy.Expr):
        return values.equal(gold, answer)
    if isinstance(gold, sympy.Set) and isinstance(answer, sympy.Set):
        return _sets_equal(gold, answer)
    if isinstance(gold, sympy.MatrixBase) and isinstance(answer, sympy.MatrixBase):
        return gold.shape == answer.shape and all(map(values.equal, gold.flat(), answer.flat()))
    if isinstance(gold, sympy.Tuple) and isinstance(answer, sympy.Tuple):
        return len(gold) == len(answer) and all(map(values.equal, gold, answer))
    return False


# Sets.


def _sets_equal(gold: sympy.Set, answer: sympy.Set) -> bool:
    """Piece by piece: intervals with equal ends, and the same single numbers."""
    if gold == answer:
        return True
    one, other = list(_pieces(gold)), list(_pieces(answer))
    return (
        len(one) == len(other)
        and all(any(_same_piece(a, b) for b in other) for a in one)
        and all(any(_same_piece(a, b) for a in one) for b in other)
    )


def _pieces(numbers: sympy.Set) -> Iterator[sympy.Basic]:
    if isinstance(numbers, sympy.Union):
        for part in numbers.args:
            yield from _pieces(part)  # type: ignore[arg-type]
    elif isinstance(numbers, sympy.FiniteSet):
        yield from numbers.args
    elif numbers is not S.EmptySet:
        yield numbers


def _same_piece(one: Any, other: Any) -> bool:
    if isinstance(one, sympy.Interval) and isinstance(other, sympy.Interval):
        flags = one.left_open == other.left_open and one.right_open == other.right_open
        return flags and values.equal(one.start, other.start) and values.equal(one.end, other.end)
    if isinstance(one, sympy.Expr) and isinstance(other, sympy.Expr):
        return values.equal(one, other)
    return one == other


def _relation_is_set(relation: Node, numbers: Node) -> bool:
    """ "x > 3" is (3, ∞)."""
    symbols = relation.symbols()
    found = value(numbers)
    if len(symbols) != 1 or not isinstance(found, sympy.Set) or not is_solved(relation):
        return False
    return _sets_equal(solution_set(relation, symbols.pop()), found)


def _same_alternatives(gold: str, answer: str) -> bool:
    """ "x < 1 or x > 2" is (-∞, 1) ∪ (2, ∞)."""
    sides = [_solutions(text) for text in (gold, answer)]
    return sides[0] is not None and sides[1] is not None and _sets_equal(sides[0], sides[1])


def _solutions(text: str) -> Any:
    try:
        if (relations := alternatives(text)) is not None:
            symbol = relations[0].symbols()
            return sympy.Union(*(solution_set(relation, *symbol) for relation in relations))
        found = whole(text)
        if found is None:
            return None
        numbers = solution_set(found, *found.symbols()) if _is_relation(found) else value(found)
        return numbers if isinstance(numbers, sympy.Set) else None
    except (Unreadable, NotImplementedError, TypeError):
        return None


# Relations.


def _is_relation(node: Node) -> bool:
    return node.kind == "relation" and node.parts[1] != "in"


def _relations_equal(gold: Node, answer: Node) -> bool:
    signs, other_signs = gold.parts[1::2], answer.parts[1::2]
    if len(signs) == len(other_signs) and _sides_equal(gold, answer):
        return True
    if signs == other_signs == ("=",):
        return _equations_equal(gold, answer)
    if len(gold.symbols()) == 1 and gold.symbols() == answer.symbols() and "=" not in (*signs, *other_signs):
        if is_solved(gold) and not is_solved(answer):
            return False
        symbol = gold.symbols().pop()
        return _sets_equal(solution_set(gold, symbol), solution_set(answer, symbol))
    return len(signs) == len(other_signs) == 1 and _inequalities_equal(gold, answer)


def _sides_equal(gold: Node, answer: Node) -> bool:
    """Side by side, in this order or in the other."""
    turned = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
    backwards = tuple(turned.get(str(sign), sign) for sign in reversed(answer.parts[1::2]))
    orders = ((answer.parts[1::2], answer.nodes), (backwards, answer.nodes[::-1]))
    return any(
        gold.parts[1::2] == signs
        and all(_values_equal(value(a), value(b)) for a, b in zip(gold.nodes, sides, strict=True))
        for signs, sides in orders
    )


def _equations_equal(gold: Node, answer: Node) -> bool:
    """Equal up to a constant factor. One that is solved for its only unknown is not equal to one that is not."""
    if gold.symbols() != answer.symbols() or not gold.symbols():
        return False
    if len(gold.symbols()) == 1 and is_solved(gold):
        return False  # side by side, they were different
    return values.proportional(_numerator(gold), _numerator(answer)) is not None


def _inequalities_equal(gold: Node, answer: Node) -> bool:
    """Equal up to a constant factor, which turns the sign where it is negative."""
    sign, other_sign = str(gold.parts[1]), str(answer.parts[1])
    if sign == other_sign == "!=":
        return values.proportional(_difference(gold), _difference(answer)) is not None
    if sign not in _INEQUALITIES or other_sign not in _INEQUALITIES or (len(sign) != len(other_sign)):
        return False
    factor = values.proportional(
        _INEQUALITIES[sign] * _difference(gold), _INEQUALITIES[other_sign] * _difference(answer)
    )
    return factor is not None and bool(factor.is_positive)


def _difference(relation: Node) -> Any:
    return expression(relation.nodes[0]) - expression(relation.nodes[1])


def _numerator(relation: Node) -> Any:
    return sympy.fraction(sympy.together(_difference(relation)))[0]


def _congruences_equal(gold: Node, answer: Node) -> bool:
    modulus, *sides = map(expression, gold.nodes)
    other_modulus, *other_sides = map(expression, answer.nodes)
    if modulus != other_modulus or not modulus.is_Integer or len(sides) != 2 or len(other_sides) != 2:
        return False
    residues = [sympy.Mod(side[1], modulus) for side in (sides, other_sides)]
    return sides[0] == other_sides[0] and values.equal(residues[0], residues[1])


def _with_one_case(gold: Node, answer: Node) -> tuple[Node, Node]:
    """Upper and lower case of a variable match, unless both stand on one side."""
    for node in (gold, answer):
        names = node.symbols()
        if len({name.lower() for name in names}) < len(names):
            return gold, answer
    return _lowered(gold), _lowered(answer)


def _lowered(node: Node) -> Node:
    if node.kind == "symbol":
        return Node("symbol", (str(node.parts[0]).lower(),))
    return Node(node.kind, tuple(_lowered(part) if isinstance(part, Node) else part for part in node.parts))
