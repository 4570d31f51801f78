r"""The tree that `reading` makes of a text, and the tokens that it is made of."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction


class Unreadable(Exception):
    """The text is not of the grammar, or can be read in more than one way."""


@dataclass(frozen=True, slots=True)
class Node:
    """An operation and what it is applied to.

    | kind | parts |
    |---|---|
    | `number` | its value, a `Fraction` |
    | `symbol` | its name; an accent or a subscript is part of it |
    | `constant` | `pi`, `e`, `i`, `infinity`, `degree`, `empty`, or a set of numbers such as `R` |
    | `sum`, `product`, `matrix`, `row`, `determinant`, `set` | any number of nodes |
    | `negative`, `factorial`, `double_factorial` | one node |
    | `quotient`, `power`, `union`, `intersection`, `difference`, `modulo` | two nodes |
    | `function` | a name, then the arguments |
    | `series` | `sum` or `product`, the term, the index, from, to |
    | `integral`, `limit` | the expression, the variable, from, to; for a limit the point and `+`, `-` or nothing |
    | `brackets` | the brackets, such as `[)`, then at least two nodes |
    | `builder` | a variable, its domain or the empty set, then conditions |
    | `relation` | a side, a sign, a side, … |
    | `congruence` | the modulus, then the sides |
    """

    kind: str
    parts: tuple["Node | Fraction | str", ...]

    @property
    def nodes(self) -> tuple["Node", ...]:
        """The parts that are nodes themselves."""
        return tuple(part for part in self.parts if isinstance(part, Node))

    def walk(self) -> Iterator["Node"]:
        """This node and all below it."""
        yield self
        for node in self.nodes:
            yield from node.walk()

    def symbols(self) -> set[str]:
        """The names of all symbols that stand in it."""
        return {str(node.parts[0]) for node in self.walk() if node.kind == "symbol"}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTIONS = _words(
    "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth arsinh arcosh artanh"
    " ln log lg exp arg Re Im max min gcd lcm"
)
CONSTANTS = {"\\pi": "pi", "\\infty": "infinity", "\\emptyset": "empty", "\\circ": "degree"}
GREEK = _words(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho varrho sigma tau"
    " upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Upsilon Phi Psi Omega ell"
)
ACCENTS = _words("vec overrightarrow overline hat widehat tilde widetilde dot ddot")
RELATIONS = {
    "=": "=", "<": "<", ">": ">", "\\lt": "<", "\\gt": ">", "\\le": "<=", "\\ge": ">=", "\\ne": "!=", "\\in": "in",
    "\\notin": "notin", "\\approx": "approx",
}  # fmt: skip
SET_OPERATIONS = {"\\cup": "union", "\\cap": "intersection", "\\setminus": "difference", "\\backslash": "difference"}
_NOTATION = _words(
    "frac sqrt binom cdot sum prod int lim to infty pi circ bmod mod pmod equiv mid lfloor rfloor lceil rceil begin end"
    " mathbb langle rangle ldots angle triangle parallel perp sim cong rightarrow Rightarrow mapsto forall exists quad"
    " cup cap setminus backslash in notin subset subseteq emptyset pm mp le ge ne lt gt approx prime star ast colon"
    " vdots overline underline partial nabla det deg limsup liminf sup inf Pr wedge vee neg land lor square"
    " therefore because complement underbrace overbrace oplus otimes propto measuredangle odot"
)
KNOWN_COMMANDS = FUNCTIONS | GREEK | ACCENTS | _NOTATION

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d*\.\d*\\overline\{\d+\}|\d+(?:\.\d+)?|\.\d+)|(?P<letters>[a-zA-Z]+)"
    r"|(?P<sign>\\(?:begin|end)\{[a-z]{1,12}\*?\}|\\mathbb\{[A-Z]\}|\\[a-zA-Z]+|\\[\\{}]|[-+/^_!(){}\[\],;:=<>|&'%]))"
)


def tokenize(text: str) -> list[str]:
    """Numbers, letters (a name of a function is one token), commands and signs; nothing is left out.

    Raises:
        Unreadable: a character that mathematics does not use.
    """
    tokens: list[str] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None:
            raise Unreadable
        letters = found["letters"]
        tokens += [found.group().strip()] if letters is None or letters in FUNCTIONS else letters
        position = found.end()
    return tokens


def is_notation(text: str) -> bool:
    """Whether a text is made of well-formed notation, even where its meaning is not known: then it equals itself."""
    try:
        tokens = tokenize(text)
    except Unreadable:
        return False
    open_brackets: list[str] = []
    for before, token in zip(["", *tokens], tokens, strict=False):
        if token.startswith("\\") and token[1:].isalpha() and token[1:] not in KNOWN_COMMANDS:
            return False
        if token == "{":
            open_brackets.append(token)
        elif token == "}" and (before == "{" or not open_brackets or open_brackets.pop() != "{"):
            return False
    return bool(tokens) and not open_brackets
