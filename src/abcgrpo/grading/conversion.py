r"""What was read, as objects of sympy. Imported by worker processes only.

Nothing here has a limit of its own: 9^{9^{9^9}} is computed, until the limits of the worker process around it strike.
"""

import operator
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache, reduce
from typing import Any

import sympy
from sympy import S, Symbol

from abcgrpo.grading.expressions import Node, Unreadable

DEGREE = Symbol("degree sign", real=True)
_CONSTANTS = {
    "pi": S.Pi, "e": S.Exp1, "i": S.ImaginaryUnit, "infinity": S.Infinity, "degree": DEGREE, "empty": S.EmptySet,
    "R": S.Reals, "N": S.Naturals, "Z": S.Integers, "Q": S.Rationals, "C": S.Complexes,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "ln": sympy.log, "lg": lambda x: sympy.log(x, 10), "exp": sympy.exp, "abs": sympy.Abs, "floor": sympy.floor,
    "ceiling": sympy.ceiling, "binomial": sympy.binomial, "max": sympy.Max, "min": sympy.Min, "arg": sympy.arg,
    "Re": sympy.re, "Im": sympy.im, "gcd": lambda *terms: reduce(sympy.gcd, terms),
    "lcm": lambda *terms: reduce(sympy.lcm, terms),
    "log": lambda x, base=10: sympy.log(x, base),
    "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan, "arccot": sympy.acot, "arcsec": sympy.asec,
    "arccsc": sympy.acsc, "arcsinh": sympy.asinh, "arccosh": sympy.acosh, "arctanh": sympy.atanh,
    "arcoth": sympy.acoth, "arccoth": sympy.acoth,
    "arsinh": sympy.asinh, "arcosh": sympy.acosh, "artanh": sympy.atanh, "coth": sympy.coth,
    "sinh": sympy.sinh, "cosh": sympy.cosh, "tanh": sympy.tanh,
}  # fmt: skip
_TRIGONOMETRIC = {name: getattr(sympy, name) for name in ("sin", "cos", "tan", "cot", "sec", "csc")}


@lru_cache(maxsize=512)
def value(node: Node) -> Any:
    """An expression, a set, a matrix or a tuple of sympy.

    Raises:
        Unreadable: an operation that its operands do not have, such as a sum of sets.
    """
    return _CONVERSIONS[node.kind](node)


def expression(node: Node) -> Any:
    """`value`, where it must be a number or an expression.

    Raises:
        Unreadable: it is a set, a matrix or a tuple.
    """
    found = value(node)
    if not isinstance(found, sympy.Expr):
        raise Unreadable
    return found


def solution_set(node: Node, symbol: str) -> sympy.Set:
    """The real numbers for which a chain of relations holds.

    Raises:
        Unreadable: it is no chain of relations in this one symbol.
        NotImplementedError: sympy cannot solve it.
    """
    if node.kind != "relation" or node.symbols() != {symbol}:
        raise Unreadable
    variable = _symbol(symbol)
    found: sympy.Set = S.Reals
    for left, sign, right in zip(node.parts[::2], node.parts[1::2], node.parts[2::2], strict=False):
        assert isinstance(left, Node)
        assert isinstance(right, Node)
        if sign == "in":
            found = found.intersect(value(right))
            continue
        if sign not in _RELATIONS:
            raise Unreadable
        relation = _RELATIONS[str(sign)](expression(left), expression(right))
        if relation in (S.true, S.false):
            found = found if relation == S.true else S.EmptySet
        else:
            found = found.intersect(sympy.solve_univariate_inequality(relation, variable, relational=False))
    return found


_RELATIONS = {"<": sympy.Lt, ">": sympy.Gt, "<=": sympy.Le, ">=": sympy.Ge, "=": sympy.Eq, "!=": sympy.Ne}


def _symbol(name: str) -> Symbol:
    return Symbol(name, real=True)


def _expressions(node: Node) -> list[Any]:
    return [expression(part) for part in node.nodes]


def _numbers_or_matrices(node: Node) -> list[Any]:
    values = [value(part) for part in node.nodes]
    if not all(isinstance(part, sympy.Expr | sympy.MatrixBase) for part in values):
        raise Unreadable
    if len(values) > 1 and any(part.has(S.Infinity, S.NegativeInfinity) for part in values):
        raise Unreadable  # sympy makes ∞ of ∞ + x
    return values


def _number(node: Node) -> Any:
    number = node.parts[0]
    assert isinstance(number, Fraction)
    return sympy.Rational(number.numerator, number.denominator)


def _sum(node: Node) -> Any:
    values = _numbers_or_matrices(node)
    return sympy.Add(*values) if all(isinstance(v, sympy.Expr) for v in values) else reduce(operator.add, values)


def _product(node: Node) -> Any:
    values = _numbers_or_matrices(node)
    return sympy.Mul(*values) if all(isinstance(v, sympy.Expr) for v in values) else reduce(operator.mul, values)


def _negative(node: Node) -> Any:
    return -_numbers_or_matrices(node)[0]


def _quotient(node: Node) -> Any:
    above, below = _numbers_or_matrices(node)
    if not isinstance(below, sympy.Expr) or below.is_zero:
        raise Unreadable
    return above / below


def _power(node: Node) -> Any:
    base, exponent = _numbers_or_matrices(node)
    return base**exponent


def _function(node: Node) -> Any:
    name = str(node.parts[0])
    if name in _TRIGONOMETRIC:
        return _TRIGONOMETRIC[name](*(e.subs(DEGREE, S.Pi / 180) for e in _expressions(node)))
    if name.startswith("the function "):
        return sympy.Function(name)(*_expressions(node))
    if name not in _FUNCTIONS:
        raise Unreadable
    if name == "abs" and isinstance(value(node.nodes[0]), sympy.MatrixBase):
        return value(node.nodes[0]).det()
    return _FUNCTIONS[name](*_expressions(node))


def _series(node: Node) -> Any:
    term, index, start, stop = _expressions(node)
    return (sympy.Sum if node.parts[0] == "sum" else sympy.Product)(term, (index, start, stop)).doit()


def _integral(node: Node) -> Any:
    term, variable, lower, upper = _expressions(node)
    return sympy.Integral(term, (variable, lower, upper)).doit()


def _limit(node: Node) -> Any:
    term, variable, point = _expressions(node)
    return sympy.limit(term, variable, point, str(node.parts[3]) or "+-")


def _matrix(node: Node) -> Any:
    return sympy.Matrix([_expressions(row) for row in node.nodes])


def _brackets(node: Node) -> Any:
    kind = str(node.parts[0])
    if len(node.nodes) != 2:
        return sympy.Tuple(*_expressions(node))
    start, stop = _expressions(node)
    if not (start.is_extended_real and stop.is_extended_real) or not (start - stop).is_extended_negative:
        raise Unreadable
    return sympy.Interval(start, stop, left_open=kind[0] == "(", right_open=kind[1] == ")")


def _set(node: Node) -> Any:
    members = node.nodes
    if len(members) == 1 and members[0].kind == "relation":
        symbols = members[0].symbols()
        if len(symbols) != 1:
            raise Unreadable
        return solution_set(members[0], symbols.pop())
    return sympy.FiniteSet(*_expressions(node))


def _builder(node: Node) -> Any:
    variable, domain, *conditions = node.nodes
    found = value(domain)
    for condition in conditions:
        found = found.intersect(solution_set(condition, str(variable.parts[0])))
    return found


def _sets(node: Node) -> list[Any]:
    values = [value(part) for part in node.nodes]
    if not all(isinstance(part, sympy.Set) for part in values):
        raise Unreadable
    return values


def _relation(node: Node) -> Any:
    """x ∈ [1, 2] is the set; other relations are compared as relations."""
    if len(node.parts) == 3 and node.parts[1] == "in":
        return value(node.nodes[1])
    raise Unreadable


def _unreadable(node: Node) -> Any:
    raise Unreadable


_CONVERSIONS: dict[str, Callable[[Node], Any]] = {
    "number": _number,
    "symbol": lambda node: _symbol(str(node.parts[0])),
    "constant": lambda node: _CONSTANTS[str(node.parts[0])] if node.parts[0] in _CONSTANTS else _unreadable(node),
    "sum": _sum,
    "product": _product,
    "negative": _negative,
    "quotient": _quotient,
    "power": _power,
    "modulo": lambda node: sympy.Mod(*_expressions(node)),
    "factorial": lambda node: sympy.factorial(*_expressions(node)),
    "double_factorial": lambda node: sympy.factorial2(*_expressions(node)),
    "function": _function,
    "series": _series,
    "integral": _integral,
    "limit": _limit,
    "matrix": _matrix,
    "determinant": lambda node: _matrix(node).det(),
    "brackets": _brackets,
    "set": _set,
    "builder": _builder,
    "union": lambda node: sympy.Union(*_sets(node)),
    "intersection": lambda node: sympy.Intersection(*_sets(node)),
    "difference": lambda node: sympy.Complement(*_sets(node)),
    "relation": _relation,
    "congruence": _unreadable,
    "row": _unreadable,
}
