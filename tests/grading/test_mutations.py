r"""Golds in the forms of public benchmarks: each is its own answer, in every spelling, and no mutation of it is.

The golds are drawn (hypothesis) in the forms of MATH, GSM8K, AIME, AMC and HMMT: integers, decimals, fractions, surds,
logarithms, complex numbers, polynomials, tuples, intervals, unions, matrices, equations. A mutation changes a digit, a
sign, a variable, an exponent, the order or a bracket; a spelling changes spaces, styles and delimiters.
"""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abcgrpo.grading import check_rows, grade_batch

WRITTEN = (Path(__file__).parent / "forms.txt").read_text(encoding="utf-8").splitlines()
"""Golds as competitions, textbooks and word problems write them, one a line."""

small = st.integers(11, 99)
primes = st.sampled_from([2, 3, 5, 7, 11, 13])
letters = st.sampled_from("abcnpqrtxyz")

FORMS = {
    "integers": st.integers(10, 10**9).map(str),
    "decimals": st.tuples(st.integers(1, 999), st.integers(1, 9)).map(lambda p: f"{p[0]}.{p[1]}"),
    "fractions": st.tuples(small, primes).map(lambda p: rf"\frac{{{p[0] * 30 + 1}}}{{{p[1]}}}"),
    "surds": st.tuples(small, primes).map(lambda p: rf"{p[0]}\sqrt{{{p[1]}}}"),
    "sums with surds": st.tuples(small, small, primes).map(lambda p: rf"{p[0]}-{p[1]}\sqrt{{{p[2]}}}"),
    "fractions of surds": st.tuples(small, primes, small).map(lambda p: rf"\frac{{{p[0]}+\sqrt{{{p[1]}}}}}{{{p[2]}}}"),
    "multiples of pi": st.tuples(small, primes).map(lambda p: rf"\frac{{{p[0]}\pi}}{{{p[1] * 100}}}"),
    "logarithms": st.tuples(small, primes).map(lambda p: rf"{p[0]}\ln {p[1]}"),
    "complex numbers": st.tuples(small, small).map(lambda p: f"{p[0]}-{p[1]}i"),
    "powers": st.tuples(primes, small).map(lambda p: f"{p[0]}^{{{p[1]}}}"),
    "polynomials": st.tuples(small, letters, small).map(lambda p: f"{p[0]}{p[1]}^2-{p[2]}{p[1]}+17"),
    "rational functions": st.tuples(small, letters).map(lambda p: rf"\frac{{{p[1]}-{p[0]}}}{{{p[1]}^2+19}}"),
    "volumes": st.tuples(small).map(lambda p: rf"{p[0]}\pi r^2h"),
    "points": st.tuples(small, small).map(lambda p: f"({p[0]},-{p[1] + 100})"),
    "intervals": st.tuples(small, small).map(lambda p: f"[{p[0]},{p[1] + 100})"),
    "unions": st.tuples(small, small).map(lambda p: rf"(-\infty,{p[0]})\cup({p[1] + 100},\infty)"),
    "sets": st.tuples(small, small).map(lambda p: rf"\{{{p[0]},{p[1] + 100}\}}"),
    "lines": st.tuples(small, small).map(lambda p: f"y={p[0]}x+{p[1]}"),
    "matrices": st.tuples(small, small).map(
        lambda p: rf"\begin{{pmatrix}} {p[0]} & {p[1] + 100} \\ 17 & 19 \end{{pmatrix}}"
    ),
}
golds = st.one_of(*FORMS.values())


def spellings(gold: str) -> list[str]:
    """The same answer in other spaces, styles and delimiters."""
    spaced = re.sub(r"(?<=[+\-=,])(?=\S)", " ", gold)
    return [
        gold,
        f"${gold}$",
        rf"\displaystyle {gold}",
        rf"\boldsymbol{{{gold}}}",
        f"{gold}.",
        rf"\,{spaced}\;",
        gold.replace(r"\frac", r"\dfrac"),
        gold.replace("(", r"\left(").replace(")", r"\right)") if gold.count("(") == gold.count(")") else gold,
        gold.replace("-", "−").replace(r"\pi", "π "),
        re.sub(r"\^\{(\d+)\}", lambda found: f"^{found[1]}", gold),
    ]


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, str]:
    """A gold and the same with one change that makes it another answer."""
    gold = draw(golds)
    found: list[str] = []
    for place in re.finditer(r"\d", gold):
        other = (int(place.group()) + draw(st.integers(1, 8)) - 1) % 9 + 1  # 1 to 9, another one
        found.append(gold[: place.start()] + str(other) + gold[place.end() :])
        found.append(gold[: place.start()] + str(other) + gold[place.start() :])
    for place in re.finditer(r"(?<![a-zA-Z\\])[abcnpqrtxyzhi](?![a-zA-Z])", gold):
        found.append(gold[: place.start()] + "w" + gold[place.end() :])  # another variable
        found.append(f"{gold}w")
    for place in re.finditer(r"(?<=\d)[+-](?=\d)|(?<=[,(])-(?=\d)", gold):
        sign = {"+": "-", "-": "+"}[place.group()]
        found.append(gold[: place.start()] + sign + gold[place.end() :])
    if gold[0].isdigit() or gold.startswith("\\frac"):
        found += [f"-{gold}", f"{gold}+1", f"{gold}^2", f"{gold} w", f"{gold} 2", rf"{gold}\text{{ million}}"]
        found += [rf"{gold}\mathrm{{i}}", rf"\frac{{{gold}}}{{w}}"]
    if gold[0] in "[(" and "cup" not in gold:
        opening, closing = gold[0], gold[-1]
        first, second = gold[1:-1].split(",")
        found += [f"{opening}{second},{first}{closing}", f"({first},{second}]", f"{opening}{first}{closing}"]
        found += [rf"\{{{first},{second}\}}", f"{first}+{second}", f"{opening}{first},{second},0{closing}"]
    if r"\cup" in gold:
        found += [gold.replace(r"\cup", r"\cap"), gold.replace("(-", "[-").replace(")\\cup", "]\\cup"), r"\emptyset"]
        found.append(gold.split(r"\cup")[0])
    if gold.startswith(r"\{"):
        found += [gold.replace(r"\}", r",0\}"), r"\emptyset", gold.replace(r"\{", "(").replace(r"\}", ")")]
    if gold.startswith("y="):
        found += [f"x={gold[2:]}", f"f={gold[2:]}", "y=y", f"2y={gold[2:]}", f"y<{gold[2:]}"]
    if "matrix" in gold:
        found += [gold.replace("&", "+"), gold.replace(r"\\", "&"), gold.replace("pmatrix", "vmatrix")]
    return gold, draw(st.sampled_from([text for text in found if text != gold]))


relaxed = settings(max_examples=20)


@relaxed
@given(st.lists(golds, min_size=20, max_size=20))
def test_every_spelling_is_equal(drawn: list[str]):
    pairs = [(gold, text) for gold in drawn for text in dict.fromkeys(spellings(gold))]
    verdicts = grade_batch([rf"\boxed{{{text}}}" for _, text in pairs], [gold for gold, _ in pairs])
    assert [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.correct is not True] == []


@relaxed
@given(st.lists(mutations(), min_size=40, max_size=40))
def test_no_mutation_is_equal(pairs: list[tuple[str, str]]):
    verdicts = grade_batch([rf"\boxed{{{text}}}" for _, text in pairs], [gold for gold, _ in pairs])
    assert [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.correct is not False] == []


@pytest.mark.parametrize("gold", WRITTEN)
def test_a_written_gold_makes_sense_and_is_its_own_answer(gold: str):
    assert check_rows([{"problem": "?", "answer": gold}]) == []
    texts = [gold, f"{gold} ", f"${gold}$" if "$" not in gold else gold, rf"\displaystyle {gold}."]
    verdicts = grade_batch([rf"so \boxed{{{text}}}" for text in texts], [gold] * len(texts))
    assert [verdict.correct for verdict in verdicts] == [True] * len(texts)
