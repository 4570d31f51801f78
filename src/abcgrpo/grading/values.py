"""Whether two expressions of sympy are equal. Imported by worker processes only.

Constants are equal where their values, computed to 120 digits, agree to 100. Expressions with variables are different
where their values at a few points are; they are equal only where sympy can show it.
"""

from typing import Any

import sympy
from sympy import Expr, Rational, S
from sympy.core.evalf import PrecisionExhausted

_DIGITS = 120
_RELATIVE_DIFFERENCE = Rational(1, 10**100)
_SAMPLE_POINTS = (
    (Rational(7, 5), Rational(11, 7)),
    (Rational(19, 11), Rational(23, 29)),
    (Rational(2, 7), Rational(31, 13)),
    (Rational(-13, 9), Rational(17, 19)),
    (Rational(-29, 6), Rational(-5, 23)),
)


def equal(gold: Any, answer: Any) -> bool:
    """Whether two numbers or expressions are equal."""
    if gold == answer:
        return True
    names = gold.free_symbols | answer.free_symbols
    if not names:
        return _same_number(gold, answer)
    if _differ_at(gold, answer, _points(_in_order(names))[0]):
        return False  # before anything large is expanded
    difference = sympy.expand(gold - answer)
    if difference == 0:
        return True
    if difference.is_polynomial(*names):
        return all(_is_zero(factor) for factor in sympy.Poly(difference, *_in_order(names)).coeffs())
    if _differ_somewhere(gold, answer):
        return False
    return sympy.simplify(gold - answer) == 0


def proportional(one: Any, other: Any) -> Any:
    """The constant by which one expression is a multiple of the other; None if there is none."""
    names = _in_order(one.free_symbols | other.free_symbols)
    if not names or not one.free_symbols or not other.free_symbols:
        return None
    point = _points(names)[0]
    below = other.subs(point)
    if below.is_zero or below.has(S.NaN, S.ComplexInfinity):
        return None
    factor = one.subs(point) / below
    if factor.is_zero or not factor.is_finite:
        return None
    return factor if equal(one, factor * other) else None


def _same_number(gold: Expr, answer: Expr) -> bool:
    one, other = _number(gold), _number(answer)
    if one is None or other is None:
        return False
    difference, size = abs(one - other), max(abs(one), abs(other))
    return bool(difference <= _RELATIVE_DIFFERENCE * size)


def _is_zero(constant: Expr) -> bool:
    return _number(constant) == 0


def _number(constant: Expr) -> Any:
    """The value of a constant, 0 where 480 digits do not tell it from zero; None if it has none."""
    if constant.has(S.NaN, S.ComplexInfinity, S.Infinity, S.NegativeInfinity):
        return None
    try:
        found = constant.evalf(_DIGITS, maxn=4 * _DIGITS, strict=True)
    except PrecisionExhausted:  # a sum of terms that cancel, or a real number written with i
        found = sympy.simplify(sympy.expand(constant, complex=True)).evalf(_DIGITS, maxn=4 * _DIGITS)
        if found.is_number and found.is_finite and abs(found) < _RELATIVE_DIFFERENCE:
            return S.Zero
    if not found.is_number or found.has(sympy.Function, sympy.Integral, sympy.Sum, sympy.Product):
        return None
    return found


def _differ_somewhere(gold: Any, answer: Any) -> bool:
    points = _points(_in_order(gold.free_symbols | answer.free_symbols))
    return any(_differ_at(gold, answer, point) for point in points)


def _differ_at(gold: Any, answer: Any, point: dict) -> bool:
    one, other = _number_at(gold, point), _number_at(answer, point)
    if one is None or other is None:
        return False
    return bool(abs(one - other) > Rational(1, 10**30) * max(abs(one), abs(other)))


def _number_at(expression: Any, point: dict) -> Any:
    found = expression.subs(point).evalf(50)
    if not found.is_number or not found.is_finite or found.has(sympy.Function, sympy.Integral, sympy.Sum):
        return None
    return found


def _points(names: list) -> list[dict]:
    return [{name: first + step * index for index, name in enumerate(names)} for first, step in _SAMPLE_POINTS]


def _in_order(symbols: set) -> list:
    return sorted(symbols, key=lambda symbol: symbol.name)
