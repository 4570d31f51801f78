r"""The exact value of arithmetic, as a fraction: \frac{1}{2}, 1\frac{1}{2}, 0.1\overline{6}, 2^{10}, 5!.

A recursive descent over a fixed grammar; nothing is ever evaluated as code, and every number is bounded.
"""

import math
import re
from fractions import Fraction
from functools import lru_cache

from abcgrpo.grading.expressions import Unreadable

_LARGEST_BITS = 20_000
"""Numerators and denominators beyond this are left to computer algebra in a worker process."""
_LONGEST = 1500
_DEEPEST = 40

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d*\.\d*(?:\\overline\{\d+\}|\(\d+\))|\d+(?:\.\d*)?(?:[eE][+-]?\d+(?![\w.]))?"
    r"|\.\d+(?:[eE][+-]?\d+(?![\w.]))?)|\\(?:frac|cdot)(?![a-zA-Z])|[-+/^!(){}])"
)
_REPEATING = re.compile(r"(\d*)\.(\d*)(?:\\overline\{(\d+)\}|\((\d+)\))")
_AMBIGUOUS = re.compile(r"(?!1e)\d+e[+-]\d")
"""2e-3 may be twice Euler's number less 3; 2.0e-3, 2e-03, 1e-3 and 2E-3 are decimals."""
_MIXED = re.compile(r"([+-]?)(\d{1,9}) (\d{1,9})\s?/\s?(\d{1,9})")


@lru_cache(maxsize=8192)
def rational(text: str) -> Fraction | None:
    """The value of `text` (cleaned, without unit or percent sign); None if it is no arithmetical expression.

    None also where the value has more than 20,000 bits: then it is for the worker processes to decide.
    """
    if not text or len(text) > _LONGEST or not any(character.isdigit() for character in text):
        return None
    if mixed := _MIXED.fullmatch(text):
        sign, whole, numerator, denominator = mixed.groups()
        return None if int(denominator) == 0 else _signed(sign, int(whole) + Fraction(int(numerator), int(denominator)))
    try:
        parser = _Parser(text)
        value = parser.sum(0)
        return value if parser.finished else None
    except (Unreadable, ZeroDivisionError):
        return None


def _signed(sign: str, value: Fraction) -> Fraction:
    return -value if sign == "-" else value


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _LARGEST_BITS:
        raise Unreadable
    return value


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        position = 0
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                if text[position:].isspace():
                    break
                raise Unreadable
            self.tokens.append(("number" if found["number"] else "sign", found.group().strip()))
            position = found.end()
        self.position = 0

    @property
    def finished(self) -> bool:
        return self.position == len(self.tokens)

    def peek(self) -> str:
        return "" if self.finished else self.tokens[self.position][1]

    def take(self, expected: str) -> None:
        if self.peek() != expected:
            raise Unreadable
        self.position += 1

    def sum(self, depth: int) -> Fraction:
        value = self.product(depth)
        while self.peek() in ("+", "-"):
            sign = self.peek()
            self.position += 1
            self._no_second_sign()
            value = _bounded(value + _signed(sign, self.product(depth)))
        return value

    def _no_second_sign(self) -> None:
        if self.peek() in ("+", "-"):
            raise Unreadable  # 204--113 is a range

    def product(self, depth: int) -> Fraction:
        if self.peek() in ("+", "-"):
            sign = self.peek()
            self.position += 1
            self._no_second_sign()
            return _signed(sign, self.product(_deeper(depth)))
        value, previous = self.power(depth), self.tokens[self.position - 1]
        whole = previous[0] == "number" and previous[1].isdigit()
        while not self.finished and self.peek() not in ("+", "-", ")", "}"):
            operator = self.peek()
            if operator in ("\\cdot", "/"):
                self.position += 1
                sign = self.peek() if self.peek() in ("+", "-") else ""
                self.position += bool(sign)
                factor = _signed(sign, self.power(depth))
                value = value / factor if operator == "/" else value * factor
            elif operator == "\\frac" and whole:
                value = value + self._proper_fraction(depth)  # a mixed number
            elif operator == "(" or (self.tokens[self.position - 1][1] == ")"):
                value = value * self.power(depth)
            else:
                raise Unreadable  # two numbers side by side
            value, whole = _bounded(value), False
        return value

    def _proper_fraction(self, depth: int) -> Fraction:
        fraction = self.power(depth)
        if not 0 < fraction < 1:
            raise Unreadable  # 3\frac{4}{2}: a sum or a product, who knows
        return fraction

    def power(self, depth: int) -> Fraction:
        base = self.primary(_deeper(depth))
        step = 0
        while self.peek() == "!":
            self.position += 1
            step += 1
        if step:  # 5! is 5·4·3·2·1, and 5!! is 5·3·1
            if base.denominator != 1 or not 0 <= base <= 1500 or step > 2:
                raise Unreadable
            base = _bounded(Fraction(math.prod(range(int(base), 0, -step))))
        if self.peek() != "^":
            return base
        self.position += 1
        sign = self.peek() if self.peek() in ("+", "-") else ""
        self.position += bool(sign)
        exponent = _signed(sign, self.power(_deeper(depth)))
        if self.peek() == "!":
            raise Unreadable  # 2^3! has two readings
        size = max(base.numerator.bit_length(), base.denominator.bit_length())
        if exponent.denominator != 1 or size * abs(exponent) > _LARGEST_BITS or (base == 0 and exponent <= 0):
            raise Unreadable
        return base ** int(exponent)

    def primary(self, depth: int) -> Fraction:
        if self.finished:
            raise Unreadable
        kind, token = self.tokens[self.position]
        self.position += 1
        if kind == "number":
            if _AMBIGUOUS.fullmatch(token):
                raise Unreadable
            return decimal_value(token)
        if token == "\\frac":
            numerator = self._group("{", "}", depth)
            return _bounded(numerator / self._group("{", "}", depth))
        if token in ("(", "{"):
            self.position -= 1
            return self._group(token, ")" if token == "(" else "}", depth)
        raise Unreadable

    def _group(self, opening: str, closing: str, depth: int) -> Fraction:
        self.take(opening)
        value = self.sum(_deeper(depth))
        self.take(closing)
        return value


def _deeper(depth: int) -> int:
    if depth > _DEEPEST:
        raise Unreadable
    return depth + 1


def decimal_value(token: str) -> Fraction:
    """A decimal: 12, 1.5, .5, 1.5e-7, and repeating ones, 0.1\\overline{6} or 0.1(6).

    Raises:
        Unreadable: more digits or a larger exponent than rational arithmetic is used for.
    """
    mantissa, _, exponent = token.lower().partition("e") if "\\" not in token else (token, "", "")
    scale = int(exponent or 0)
    if abs(scale) > _LARGEST_BITS // 4:
        raise Unreadable
    if repeating := _REPEATING.fullmatch(mantissa):
        whole, fixed, period = repeating[1], repeating[2], repeating[3] or repeating[4]
        unit = 10 ** len(fixed)
        value = Fraction(int((whole + fixed) or 0), unit) + Fraction(int(period), unit * (10 ** len(period) - 1))
    elif "(" in mantissa or "\\" in mantissa:
        raise Unreadable
    else:
        value = Fraction(mantissa.rstrip(".") or "0")
    return _bounded(value * Fraction(10) ** scale)
