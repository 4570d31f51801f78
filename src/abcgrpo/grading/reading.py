r"""What a text of mathematics says: every token is used, in order; no operator is added, and no symbol is dropped.

A recursive descent over a fixed grammar. What has no meaning in it, and what could mean two things, is `Unreadable`,
and so different from everything but itself: two numbers side by side, 1/2x, \sin x(y+1), a subscript of a number.

Side by side means a product, except that a whole number before a proper fraction of whole numbers is a mixed number. A
number may follow another factor only if both carry an exponent or a factorial: 2^{25} 26!.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import TypeVar

from abcgrpo.grading.expressions import (
    ACCENTS,
    CONSTANTS,
    FUNCTIONS,
    GREEK,
    RELATIONS,
    SET_OPERATIONS,
    Node,
    Unreadable,
    tokenize,
)
from abcgrpo.grading.rationals import decimal_value

_Value = TypeVar("_Value")
_DEEPEST = 60
_MOST_TOKENS = 3000
_MATRICES = ("pmatrix", "bmatrix", "Bmatrix", "matrix", "smallmatrix")
_TAKES_SEVERAL = frozenset(("max", "min", "gcd", "lcm"))
_CLOSES = {"(": (")", "]"), "[": (")", "]"), "\\langle": ("\\rangle",)}
_FLOORS = {"\\lfloor": ("\\rfloor", "floor"), "\\lceil": ("\\rceil", "ceiling")}
_UNDEFINED_FUNCTIONS = frozenset("fghFG")
_POWERED, _INTEGER, _NUMERIC, _MIXED, _OTHER = "powered", "integer", "numeric", "mixed", "other"
"""How a factor is written: what may stand beside it depends on that."""


@lru_cache(maxsize=8192)
def read(text: str) -> Node | None:
    """The tree of a cleaned text (`normalization.clean`) without its unit; None if it cannot be read."""
    try:
        tokens = tokenize(text)
        if not tokens or len(tokens) > _MOST_TOKENS:
            return None
        reader = _Reader(tokens)
        node = reader.statement()
        return node if reader.at_end else None
    except (Unreadable, ZeroDivisionError):
        return None


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.position = 0
        self.end = len(tokens)
        self.depth = 0
        self.open_bars = 0

    @property
    def at_end(self) -> bool:
        return self.position >= self.end

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[self.position + ahead] if self.position + ahead < self.end else ""

    def take(self, expected: str | None = None) -> str:
        token = self.peek()
        if not token or (expected is not None and token != expected):
            raise Unreadable
        self.position += 1
        return token

    def skip(self, token: str) -> bool:
        found = self.peek() == token
        self.position += found
        return found

    def deeper(self, parse: Callable[[], _Value]) -> _Value:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise Unreadable
        value = parse()
        self.depth -= 1
        return value

    # Statements: sides and the relations between them.

    def statement(self) -> Node:
        parts: list[Node | Fraction | str] = [self.deeper(self.side)]
        while self.peek() in RELATIONS:
            parts += [RELATIONS[self.take()], self.side()]
        if self.peek() == "\\equiv":
            return self._congruence(parts)
        return Node("relation", tuple(parts)) if len(parts) > 1 else self._node(parts[0])

    def _congruence(self, parts: list[Node | Fraction | str]) -> Node:
        if len(parts) > 1:
            raise Unreadable
        while self.skip("\\equiv"):
            parts.append(self.side())
        self.take("\\pmod")
        return Node("congruence", (self.argument(), *parts))

    def side(self) -> Node:
        value = self.sum()
        while self.peek() in SET_OPERATIONS:
            value = Node(SET_OPERATIONS[self.take()], (value, self.sum()))
        return value

    # Arithmetic.

    def sum(self) -> Node:
        terms = [self._signed(self.product)]
        while self.peek() in ("+", "-"):
            sign = self.take()
            if self.peek() in ("+", "-"):
                raise Unreadable
            term = self.product()
            terms.append(term if sign == "+" else Node("negative", (term,)))
        return terms[0] if len(terms) == 1 else Node("sum", tuple(terms))

    def _signed(self, parse: Callable[[], Node]) -> Node:
        if self.skip("-"):
            return Node("negative", (self._unsigned(parse),))
        self.skip("+")
        return self._unsigned(parse)

    def _unsigned(self, parse: Callable[[], Node]) -> Node:
        if self.peek() in ("+", "-"):
            raise Unreadable
        return parse()

    def product(self) -> Node:
        first, written = self.factor()
        factors = [first]
        while True:
            token = self.peek()
            if token == "\\cdot":
                self.take()
                factor, written = self._signed_factor()
                factors.append(factor)
            elif token == "/":
                self.take()
                divisor, _ = self._signed_factor()
                if self._starts_factor():
                    raise Unreadable  # 1/2x
                factors, written = [Node("quotient", (_product(factors), divisor))], _OTHER
            elif token == "\\bmod":
                self.take()
                factors, written = [Node("modulo", (_product(factors), self.factor()[0]))], _OTHER
            elif self._starts_factor():
                factors, written = self._beside(factors, written)
            else:
                return _product(factors)

    def _signed_factor(self) -> tuple[Node, str]:
        negative = self.skip("-")
        if not negative:
            self.skip("+")
        factor, written = self.factor()
        return (Node("negative", (factor,)) if negative else factor), written

    def _beside(self, factors: list[Node], before: str) -> tuple[list[Node], str]:
        """A factor directly after another: the module's docstring says what it means."""
        starts_with_digit = self._starts_with_digit()
        factor, written = self.factor()
        if before == _MIXED or (starts_with_digit and not before == written == _POWERED):
            raise Unreadable
        if written == _NUMERIC and before == _INTEGER and len(factors) == 1:
            mixed = _mixed_number(factors[0], factor)
            return [mixed], _MIXED
        if written == _NUMERIC and before in (_INTEGER, _NUMERIC):
            raise Unreadable
        return [*factors, factor], written

    def _starts_with_digit(self) -> bool:
        ahead = 0
        while self.peek(ahead) == "{":
            ahead += 1
        return self.peek(ahead)[:1].isdigit() or self.peek(ahead)[:1] == "."

    def _starts_factor(self) -> bool:
        token = self.peek()
        if token == "|":
            return not self.open_bars
        if not token or token in RELATIONS or token in SET_OPERATIONS:
            return False
        if token.startswith("\\"):
            return token[1:] in _STARTING_COMMANDS or token.startswith(("\\mathbb", "\\begin")) or token == "\\{"
        return token[0].isalnum() or token[0] in ".([{"

    def factor(self) -> tuple[Node, str]:
        """One factor with its factorials and its exponent, and how it is written."""
        node, written = self.deeper(self.primary)
        is_number = written in (_INTEGER, _NUMERIC)
        if self.peek() == "!":
            marks = 0
            while self.skip("!"):
                marks += 1
            if marks > 2:
                raise Unreadable
            node, written = Node("factorial" if marks == 1 else "double_factorial", (node,)), _OTHER
        if self.peek() == "^":
            if written == _NUMERIC and node.kind != "number":
                raise Unreadable  # \frac{1}{2}^2
            self.take()
            if self.skip("\\circ"):
                return Node("product", (node, Node("constant", ("degree",)))), _OTHER
            node, written = Node("power", (node, self.exponent())), _OTHER
            if self.peek() in ("!", "^"):
                raise Unreadable  # 2^3! and 2^3^4 have two readings
        if self.peek() in ("'", "_", "%"):
            raise Unreadable
        return node, _POWERED if is_number and written == _OTHER else written

    def exponent(self) -> Node:
        if self.peek() == "{":
            return self._group("{", "}")
        negative = self.skip("-")
        token = self.peek()
        if token == "(":
            node = self._group("(", ")")
        elif token[:1].isdigit() or token.isalpha() or token in CONSTANTS or token[1:] in GREEK or token == "\\frac":
            node, _ = self.primary()
        else:
            raise Unreadable
        return Node("negative", (node,)) if negative else node

    def primary(self) -> tuple[Node, str]:
        token = self.take()
        if token[0].isdigit() or token[0] == ".":
            return Node("number", (decimal_value(token),)), _INTEGER if token.isdigit() else _NUMERIC
        if token in FUNCTIONS or token[1:] in FUNCTIONS:
            return self._function(token.removeprefix("\\")), _OTHER
        if token.isalpha():
            return self._letter(token), _OTHER
        if token in CONSTANTS and token != "\\circ":
            return Node("constant", (CONSTANTS[token],)), _OTHER
        if token[1:] in GREEK:
            return self._symbol(token[1:]), _OTHER
        if token[1:] in ACCENTS:
            return self._symbol(f"{token[1:]} {self._raw_argument()}"), _OTHER
        if token.startswith("\\mathbb{"):
            return Node("constant", (token[8],)), _OTHER
        if token == "{":
            return self._tex_group()
        if token == "\\frac":
            return self._fraction()
        if token.startswith("\\begin{"):
            return self._matrix(token[7:-1]), _OTHER
        self.position -= 1
        parse = _PRIMARIES.get(token)
        if parse is None:
            raise Unreadable
        return parse(self), _OTHER

    def _letter(self, letter: str) -> Node:
        if letter in ("e", "i") and self.peek() != "_":
            return Node("constant", (letter,))
        if letter in _UNDEFINED_FUNCTIONS and self.peek() == "(":
            return Node("function", (f"the function {letter}", *self._arguments()))
        return self._symbol(letter)

    def _symbol(self, name: str) -> Node:
        if self.skip("_"):
            name += f"_{self._raw_argument()}"
        while self.skip("'"):
            name += "'"
        return Node("symbol", (name,))

    def _raw_argument(self) -> str:
        """An argument as it is written: a subscript, or what carries an accent."""
        if not self.skip("{"):
            token = self.take()
            if not token.isalnum():
                raise Unreadable
            return token
        start = self.position
        while self.peek() not in ("}", ""):
            token = self.take()
            if token[0] in "^&\\" and token[1:] not in GREEK:
                raise Unreadable
        self.take("}")
        return " ".join(self.tokens[start : self.position - 1])

    def _group(self, opening: str, closing: str) -> Node:
        self.take(opening)
        bars, self.open_bars = self.open_bars, 0
        node = self.deeper(self.sum)
        self.open_bars = bars
        self.take(closing)
        return node

    def _tex_group(self) -> tuple[Node, str]:
        r"""{…} is not seen on paper: a sum in it must stand alone, and numbers in it stand beside what is outside."""
        before = self.peek(-2) if self.position > 1 else ""
        start = self.position
        self.position -= 1
        node = self._group("{", "}")
        if node.kind in ("sum", "negative") and (
            before not in ("", "(", "[", "=", "{", "|") or self.peek() not in ("", ")", "]", "=", "}", "|")
        ):
            raise Unreadable
        if node.kind != "number":
            return node, _OTHER
        return node, _INTEGER if self.tokens[start].isdigit() else _NUMERIC

    def argument(self) -> Node:
        r"""An argument as TeX takes it: a group, a digit, a letter, or a command without arguments."""
        token = self.peek()
        if token == "{":
            return self._group("{", "}")
        if token[:1].isdigit():
            if len(token) > 1:
                self.tokens[self.position : self.position + 1] = [token[0], token[1:]]
                self.end += 1
            return Node("number", (Fraction(self.take()),))
        if token in CONSTANTS:
            return Node("constant", (CONSTANTS[self.take()],))
        if (token.isalpha() and len(token) == 1) or token[1:] in GREEK:
            self.take()
            return self._letter(token) if token.isalpha() else Node("symbol", (token[1:],))
        raise Unreadable

    def _fraction(self) -> tuple[Node, str]:
        numerator, denominator = self.argument(), self.argument()
        node = Node("quotient", (numerator, denominator))
        numeric = all(part.kind in _ARITHMETIC for part in node.walk())
        return node, _NUMERIC if numeric else _OTHER

    def _root(self) -> Node:
        self.take("\\sqrt")
        index = self._group("[", "]") if self.peek() == "[" else Node("number", (Fraction(2),))
        return Node("power", (self.argument(), Node("quotient", (Node("number", (Fraction(1),)), index))))

    def _binomial(self) -> Node:
        self.take("\\binom")
        return Node("function", ("binomial", self.argument(), self.argument()))

    def _bars(self) -> Node:
        self.take("|")
        self.open_bars += 1
        node = self.deeper(self.sum)
        self.take("|")
        self.open_bars -= 1
        return Node("function", ("abs", node))

    def _rounding(self) -> Node:
        closing, name = _FLOORS[self.take()]
        node = self.deeper(self.sum)
        self.take(closing)
        return Node("function", (name, node))

    def _brackets(self) -> Node:
        opening = self.take()
        bars, self.open_bars = self.open_bars, 0
        items = [self.deeper(self.statement)]
        while self.peek() in (",", ";"):
            self.take()
            items.append(self.deeper(self.statement))
        self.open_bars = bars
        closing = self.take()
        if closing not in _CLOSES[opening]:
            raise Unreadable
        if len(items) > 1:
            kind = "()" if opening == "\\langle" else opening + closing
            return Node("brackets", (kind, *items))
        if (opening, closing) not in (("(", ")"), ("[", "]")) or items[0].kind in ("relation", "congruence"):
            raise Unreadable
        return items[0]

    def _braces(self) -> Node:
        r"""\{1, 2\}, \{x < 5\} and \{x : x < 5\}."""
        self.take("\\{")
        bars, self.open_bars = self.open_bars, 0
        node = self._builder() if self._is_builder() else self._listed_set()
        self.open_bars = bars
        self.take("\\}")
        return node

    def _listed_set(self) -> Node:
        items: list[Node] = []
        while self.peek() != "\\}":
            items.append(self.deeper(self.statement))
            if not self.skip(","):
                break
        return Node("set", tuple(items)) if items else Node("constant", ("empty",))

    def _is_builder(self) -> bool:
        ahead = 1
        if self.peek(ahead) == "\\in":
            ahead += 2
        return self.peek().isalpha() and self.peek(ahead) in ("|", ":", "\\mid")

    def _builder(self) -> Node:
        variable = self._symbol(self.take())
        domain = self.side_of_numbers() if self.skip("\\in") else Node("constant", ("R",))
        self.take()
        conditions = [self.deeper(self.statement)]
        while self.skip(","):
            conditions.append(self.deeper(self.statement))
        return Node("builder", (variable, domain, *conditions))

    def side_of_numbers(self) -> Node:
        token = self.take()
        if not token.startswith("\\mathbb{"):
            raise Unreadable
        return Node("constant", (token[8],))

    def _matrix(self, environment: str) -> Node:
        rows: list[Node] = []
        while True:
            cells = [self.deeper(self.sum)]
            while self.skip("&"):
                cells.append(self.deeper(self.sum))
            rows.append(Node("row", tuple(cells)))
            if not self.skip("\\\\") or self.peek().startswith("\\end{"):
                break
        self.take(rf"\end{{{environment}}}")
        if len({len(row.parts) for row in rows}) > 1:
            raise Unreadable
        if environment == "vmatrix":
            return Node("determinant", tuple(rows))
        if environment not in _MATRICES:
            raise Unreadable
        return Node("matrix", tuple(rows))

    # Functions and what has a range.

    def _function(self, name: str) -> Node:
        base = self._script_argument() if name == "log" and self.skip("_") else None
        exponent = self.exponent() if self.skip("^") else None
        if base is None and name == "log" and self.skip("_"):
            base = self._script_argument()
        if name in _TAKES_SEVERAL:
            arguments = self._arguments()
        elif self.peek() in ("(", "["):
            arguments = [self._brackets()]
        else:
            arguments = [self._bare_argument()]
        if exponent is not None and _is_minus_one(exponent):
            if name[:3] not in ("sin", "cos", "tan", "cot", "sec", "csc") or name.startswith("arc"):
                raise Unreadable
            name, exponent = f"arc{name}", None
        node = Node("function", ("log", *arguments, base) if base is not None else (name, *arguments))
        return node if exponent is None else Node("power", (node, exponent))

    def _script_argument(self) -> Node:
        if self.peek()[:1].isdigit():
            return Node("number", (decimal_value(self.take()),))
        return self.argument()

    def _arguments(self) -> list[Node]:
        closing = {"(": ")", "[": "]", "\\{": "\\}"}.get(self.take())
        arguments = [self.deeper(self.sum)]
        while self.skip(","):
            arguments.append(self.deeper(self.sum))
        if closing is None:
            raise Unreadable
        self.take(closing)
        return arguments

    def _bare_argument(self) -> Node:
        r"""What stands after \sin without brackets: factors side by side, up to an operator or another function."""
        factor, written = self.factor()
        factors = [factor]
        while self._starts_factor():
            token = self.peek()
            if token in FUNCTIONS or token[1:] in FUNCTIONS or token in ("\\sum", "\\prod", "\\int", "\\lim"):
                break
            if token in ("(", "["):
                raise Unreadable  # \sin x(y+1)
            factors, written = self._beside(factors, written)
        if self.peek() == "/" and self.peek(1).removeprefix("\\") not in FUNCTIONS:
            raise Unreadable  # \ln 3/2
        return _product(factors)

    def _series(self) -> Node:
        name = {"\\sum": "sum", "\\prod": "product"}[self.take()]
        self.take("_")
        self.take("{")
        index = self._symbol_or_i()
        self.take("=")
        start = self.deeper(self.sum)
        self.take("}")
        self.take("^")
        stop = self.exponent()
        return Node("series", (name, self._with_index(self.product(), index), index, start, stop))

    def _symbol_or_i(self) -> Node:
        """An index, which may be called i."""
        token = self.take()
        if not token.isalpha():
            raise Unreadable
        return self._symbol(token)

    def _with_index(self, term: Node, index: Node) -> Node:
        return _replaced(term, Node("constant", ("i",)), index) if index == Node("symbol", ("i",)) else term

    def _integral(self) -> Node:
        self.take("\\int")
        self.take("_")
        lower = self.exponent()
        self.take("^")
        upper = self.exponent()
        end = self._differential()
        stop, self.end = self.end, end
        term = Node("number", (Fraction(1),)) if self.at_end else self.deeper(self.sum)
        if not self.at_end:
            raise Unreadable
        self.end = stop
        self.take("d")
        return Node("integral", (term, self._symbol_or_i(), lower, upper))

    def _differential(self) -> int:
        level = 0
        for position in range(self.position, self.end - 1):
            token = self.tokens[position]
            level += token in ("(", "{", "[", "\\{")
            level -= token in (")", "}", "]", "\\}")
            if level < 0:
                break
            if level == 0 and token == "d" and self.tokens[position + 1].isalpha():
                return position
        raise Unreadable

    def _limit(self) -> Node:
        self.take("\\lim")
        self.take("_")
        self.take("{")
        variable = self._symbol_or_i()
        if self.take() not in ("\\to", "\\rightarrow"):
            raise Unreadable
        point = self._signed(self.primary_node)
        side = ""
        if self.skip("^"):
            side = self.take()
            if side == "{":
                side = self.take()
                self.take("}")
        if side not in ("", "+", "-"):
            raise Unreadable
        self.take("}")
        return Node("limit", (self.product(), variable, point, side))

    def primary_node(self) -> Node:
        return self.primary()[0]

    def _node(self, part: Node | Fraction | str) -> Node:
        assert isinstance(part, Node)
        return part


_ARITHMETIC = frozenset(("number", "negative", "sum", "product", "quotient", "power", "factorial", "double_factorial"))
_PRIMARIES: dict[str, Callable[[_Reader], Node]] = {
    "(": _Reader._brackets,
    "[": _Reader._brackets,
    "\\langle": _Reader._brackets,
    "\\{": _Reader._braces,
    "|": _Reader._bars,
    "\\lfloor": _Reader._rounding,
    "\\lceil": _Reader._rounding,
    "\\sqrt": _Reader._root,
    "\\binom": _Reader._binomial,
    "\\sum": _Reader._series,
    "\\prod": _Reader._series,
    "\\int": _Reader._integral,
    "\\lim": _Reader._limit,
}
_STARTING_COMMANDS = (
    FUNCTIONS
    | GREEK
    | ACCENTS
    | {"frac", "pi", "infty", "emptyset"}
    | {name[1:] for name in _PRIMARIES if len(name) > 2}
)


def _product(factors: list[Node]) -> Node:
    return factors[0] if len(factors) == 1 else Node("product", tuple(factors))


def _mixed_number(whole: Node, fraction: Node) -> Node:
    numerator, denominator = fraction.nodes if fraction.kind == "quotient" else (fraction, fraction)
    top, bottom = numerator.parts[0], denominator.parts[0]
    if fraction.kind != "quotient" or not isinstance(top, Fraction) or not isinstance(bottom, Fraction):
        raise Unreadable
    if not (top.denominator == bottom.denominator == 1 and 0 < top < bottom):
        raise Unreadable
    return Node("sum", (whole, fraction))


def _is_minus_one(node: Node) -> bool:
    return node == Node("negative", (Node("number", (Fraction(1),)),))


def _replaced(node: Node, old: Node, new: Node) -> Node:
    if node == old:
        return new
    return Node(node.kind, tuple(_replaced(p, old, new) if isinstance(p, Node) else p for p in node.parts))
