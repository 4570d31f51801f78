r"""The grammar: what it reads, what it refuses, and that no token is lost."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abcgrpo.grading.expressions import Node, is_notation, tokenize
from abcgrpo.grading.reading import read

NEEDLESS = frozenset([*"{}()+", "\\cdot"])
"""Tokens whose absence may leave the same tree: brackets around one factor, a plus sign, the dot of 2·x."""


def evaluated(node: Node, point: dict[str, Fraction]) -> Fraction:
    """Exact arithmetic over a tree, written without the grader's own conversion."""
    parts = [evaluated(part, point) for part in node.nodes]
    match node.kind:
        case "number":
            assert isinstance(node.parts[0], Fraction)
            return node.parts[0]
        case "symbol":
            return point[str(node.parts[0])]
        case "negative":
            return -parts[0]
        case "sum":
            return sum(parts, Fraction(0))
        case "product":
            product = Fraction(1)
            for part in parts:
                product *= part
            return product
        case "quotient":
            return parts[0] / parts[1]
        case "power":
            return parts[0] ** int(parts[1])
    raise AssertionError(node.kind)


POINT = {name: Fraction(n, 7) for name, n in zip("abxy", (11, -5, 23, 29), strict=True)}
leaves = st.one_of(
    st.integers(1, 99).map(lambda n: (str(n), Fraction(n), 3)),
    st.sampled_from(sorted(POINT)).map(lambda name: (name, POINT[name], 3)),
    st.tuples(st.integers(1, 9), st.integers(2, 9)).map(
        lambda p: (rf"\frac{{{p[0]}}}{{{p[1]}}}", Fraction(p[0], p[1]), 3)
    ),
)


def combined(parts: tuple[tuple[str, Fraction, int], tuple[str, Fraction, int], int]) -> tuple[str, Fraction, int]:
    """(text, value, how tightly it binds: 1 a sum, 2 a product, 3 a factor) of an operation on two others."""
    (one, a, binds), (two, b, also), operation = parts
    in_brackets = one if binds > 1 else f"({one})"
    if operation == 0:
        return f"{one}+{two}", a + b, 1
    if operation == 1:
        return f"{one}-" + (two if also > 1 else rf"\left({two}\right)"), a - b, 1
    if operation == 2:
        return rf"{in_brackets}\cdot " + (two if also > 1 else f"({two})"), a * b, 2
    if operation == 3 and b:
        return rf"\frac{{{one}}}{{{two}}}", a / b, 3
    if operation == 4:
        return f"({one})({two})", a * b, 2
    if operation == 5:
        return f"({one})^2", a**2, 3
    return f"x({two})", POINT["x"] * b, 2


expressions = st.recursive(leaves, lambda inner: st.tuples(inner, inner, st.integers(0, 6)).map(combined), max_leaves=8)


@given(expressions)
def test_the_value_is_the_one_that_was_written(written: tuple[str, Fraction, int]):
    text, value, _ = written
    node = read(text.replace(r"\left", "").replace(r"\right", ""))
    assert node is not None, text
    assert evaluated(node, POINT) == value


@given(expressions, st.data())
def test_no_token_can_be_left_out_unseen(written: tuple[str, Fraction, int], data: st.DataObject):
    tokens = tokenize(written[0].replace(r"\left", "").replace(r"\right", ""))
    without = data.draw(st.integers(0, len(tokens) - 1))
    shorter = " ".join(tokens[:without] + tokens[without + 1 :])
    if tokens[without] not in NEEDLESS:
        assert read(shorter) != read(" ".join(tokens)), tokens[without]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (r"\frac\pi4", r"\frac{\pi}{4}"),
        (r"\frac123", None),
        (r"\sqrt xy", r"\sqrt{x}y"),
        (r"2^{25} 26!", r"2^{25}\cdot 26!"),
        (r"\sin 2x\cos x", r"\sin(2x)\cdot\cos(x)"),
        (r"\sin^2 x", r"(\sin(x))^2"),
        (r"\ln 2/\ln 3", r"\frac{\ln 2}{\ln 3}"),
        (r"2|x|", r"2\cdot|x|"),
        ("x^10", "x^{10}"),
        (r"\log_2 8", r"\log_{2}(8)"),
        (r"\{x<5\}", r"\{x < 5\}"),
    ],
)
def test_two_spellings_of_one_tree(text: str, same: str | None):
    assert read(text) == (None if same is None else read(same))
    assert same is None or read(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "", "2 3", "2{3}", r"2\frac{3}{1}", r"\frac12 3", r"\frac12\frac13", "x2", r"\sqrt{2}3", "(2)3", r"2\pi 3",
        "1/2x", r"\ln 3/2", r"\sin x(y+1)", r"\sin x/2", "2^3!", "2^3^4", "5!!!", "|x|y|", "{2+3}4", "3-{2+4}", "2_3",
        "x'^{2", "(x", "x)", "[x)", "x+", "+-x", "x--y", r"x\cdot", r"\frac{}{2}", r"\frac12^2", r"\undefined", "x=",
        "=x", "@", "1,000", r"3\frac{1}{2}x", r"x\%", r"\ln^{-1}x", r"\int x dx", r"\begin{cases}x\end{cases}", "a:b",
        "(" * 5000 + "1" + ")" * 5000, "{" * 100 + "1" + "}" * 100, "+" * 4000, "x" * 3001,
    ],
)  # fmt: skip
def test_what_is_not_read(text: str):
    assert read(text) is None


@given(st.text(alphabet=r"\{}()[]^_|!/+-=<>,.:;'&% 0123456789xyieπ", max_size=80))
def test_any_text_can_be_read_or_not(text: str):
    node = read(text)
    assert node is None or isinstance(node, Node)
    assert is_notation(text) in (True, False)
