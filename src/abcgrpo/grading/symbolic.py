r"""Computer algebra: the only place that calls math-verify, and imported by worker processes only.

Nothing here has a limit of its own. A comparison may run forever or take all memory: the worker process around it has
the limits (see `worker`). math-verify's own timeouts are signals, and are off.
"""

import logging
import random
from functools import lru_cache
from typing import Any

import sympy
import sympy.core.random
from math_verify import LatexExtractionConfig, parse, verify
from sympy import Basic, Expr, Float, MatrixBase, Rational, Symbol

from abcgrpo.grading.exact import compare_atoms, compare_structures, structure_of, understood
from abcgrpo.grading.normalization import TEXT_CLOSE, TEXT_OPEN, Atom, clean

_DIGITS = 60
_RELATIVE_DIFFERENCE = Rational(1, 10**40)
"""Two constants are equal where their values, computed to 60 digits, agree to 40."""
_SAMPLE_POINTS = (
    (Rational(7, 5), Rational(11, 7)),
    (Rational(19, 11), Rational(23, 29)),
    (Rational(2, 7), Rational(31, 13)),
)

_FROM_BOX = (LatexExtractionConfig(boxed_match_priority=0, try_extract_without_anchor=False),)
logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # "Timeout is disabled": that is the intention


def gold_parses(gold: str) -> bool:
    """Whether a gold makes sense: understood without algebra, or parsed by it, whole or element by element."""
    if understood(gold):
        return True
    structure = structure_of(gold)
    if parsed(_as_latex(gold) if not isinstance(structure, Atom) else structure.text) is not None:
        return True
    return _every_atom_parses(structure)


def equivalent(gold: str, answer: str, tolerance: float | None = None) -> bool:
    """Whether the two are equal: element by element where both have elements, as wholes otherwise."""
    random.seed(0)  # some of sympy's tests draw points: the verdict must not depend on what was graded before
    sympy.core.random.seed(0)
    decided = compare_structures(structure_of(gold), structure_of(answer), lambda a, b: _atoms_equal(a, b, tolerance))
    if decided is not None:
        return decided
    return _equal(parsed(_as_latex(gold)), parsed(_as_latex(answer)), tolerance)


def warm_up() -> None:
    """Parse and compare one of each kind, so that the parser's tables are filled before the workers are forked."""
    for gold, answer in (
        (r"\frac{9 \sqrt{23}}{23}", r"9/\sqrt{23}"),
        (r"\frac{-1+\sqrt{17}}{2}", r"-\frac{1}{2}-\frac{\sqrt{17}}{2}"),
        (r"1-\frac{2}{\pi}", r"\frac{\pi-2}{\pi}"),
        (r"\sqrt[3]{4}+\ln 2", r"2^{2/3}+\log(2)"),
        (r"\cos 3x + e^{i\pi}", r"4\cos^3(x)-3\cos x - 1"),
        (r"x^2+2x+1", r"(x+1)^{2}"),
        (r"y = 2x+3", r"y-2x=3"),
        (r"x > 3", r"(3,\infty)"),
        (r"(-\infty,2)\cup(3,5]", r"(3,5] \cup (-\infty,2)"),
        (
            r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
            r"\begin{bmatrix} 1 & 2 \\ 3 & \frac{8}{2} \end{bmatrix}",
        ),
        (r"\binom{10}{3}\cdot 5!", r"120\cdot 5! + |x|"),
    ):
        equivalent(gold, answer)


@lru_cache(maxsize=256)
def parsed(text: str) -> Basic | MatrixBase | None:
    r"""What math-verify makes of \boxed{text}; None where it makes nothing of it."""
    if "\ufffd" in text or text.count("{") != text.count("}"):
        return None
    found = parse(rf"\boxed{{{text}}}", _FROM_BOX, fallback_mode="no_fallback", parsing_timeout=None)  # type: ignore[arg-type]
    return found[0] if found and isinstance(found[0], Basic | MatrixBase) else None


def _as_latex(answer: str) -> str:
    return clean(answer).replace(TEXT_OPEN, " ").replace(TEXT_CLOSE, " ").strip(" .,;")


def _every_atom_parses(structure) -> bool:
    if isinstance(structure, Atom):
        return structure.words or parsed(structure.text) is not None
    return all(map(_every_atom_parses, structure.items))


def _atoms_equal(gold: Atom, answer: Atom, tolerance: float | None) -> bool:
    decided = compare_atoms(gold, answer, tolerance)
    return _equal(parsed(gold.text), parsed(answer.text), tolerance) if decided is None else decided


def _equal(gold, answer, tolerance: float | None) -> bool:
    if gold is None or answer is None:
        return False
    if isinstance(gold, Expr) and isinstance(answer, Expr):
        same = _same_values(gold, answer, tolerance)
        if same is not None:
            return same
    return bool(verify(gold, answer, timeout_seconds=None, allow_set_relation_comp=True))  # type: ignore[arg-type]


def _same_values(gold: Expr, answer: Expr, tolerance: float | None) -> bool | None:
    """Two expressions by their values: constants are decided so, either way; with variables, only differences are.

    math-verify rounds: it takes 1e-7 for 2e-7. Values to 60 digits do not.
    """
    gold, answer = _without_floats(gold).doit(), _without_floats(answer).doit()
    names = sorted({symbol.name for symbol in gold.free_symbols | answer.free_symbols if isinstance(symbol, Symbol)})
    if not names:
        return _same_value(gold, answer, tolerance)
    if {s.name for s in gold.free_symbols} != {s.name for s in answer.free_symbols}:  # type: ignore[attr-defined]
        return None
    for first, step in _SAMPLE_POINTS:
        point = {name: first + step * index for index, name in enumerate(names)}
        sides = [side.subs({s: point[s.name] for s in side.free_symbols}) for side in (gold, answer)]  # type: ignore[attr-defined]
        if _same_value(sides[0], sides[1], None) is False:
            return False
    return None


def _same_value(gold: Expr, answer: Expr, tolerance: float | None) -> bool | None:
    one, other = gold.evalf(_DIGITS), answer.evalf(_DIGITS)
    for value in (one, other):
        if not value.is_number or not value.is_finite or value.has(sympy.Function, sympy.Integral, sympy.Sum):
            return None
    difference, size = abs(one - other), max(abs(one), abs(other))
    if size < _RELATIVE_DIFFERENCE:
        return None  # perhaps zero: digits cannot tell
    if tolerance is not None:
        return bool(difference <= tolerance * abs(one))
    return bool(difference <= _RELATIVE_DIFFERENCE * size)


def _without_floats(expression: Expr) -> Any:
    """Decimals as the fractions that they write: 0.1 is 1/10, not the nearest binary number."""
    return expression.xreplace({number: Rational(str(number)) for number in expression.atoms(Float)})
