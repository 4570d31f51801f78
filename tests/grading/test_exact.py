"""Rules that hold for all inputs, and the bounds of exact arithmetic."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abcgrpo.grading.exact import compare, makes_sense
from abcgrpo.grading.normalization import clean
from abcgrpo.grading.rationals import rational

rationals = st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=10**4)


def spellings(value: Fraction) -> list[str]:
    sign, size = "-" if value < 0 else "", abs(value)
    whole, part = divmod(size.numerator, size.denominator)
    found = [
        f"{value.numerator}/{value.denominator}",
        rf"{sign}\frac{{{size.numerator}}}{{{size.denominator}}}",
        rf"\dfrac{{{value.numerator * 3}}}{{{value.denominator * 3}}}",
        rf"x = {sign}\tfrac{{{size.numerator}}}{{{size.denominator}}}.",
        rf"$\boldsymbol{{{sign}\frac{{{size.numerator}}}{{{size.denominator}}}}}$",
    ]
    if part and whole:
        found.append(rf"{sign}{whole}\frac{{{part}}}{{{size.denominator}}}")
    if value.denominator == 1:
        found += [f"{value.numerator:,}", f"{value.numerator}.0", rf"{value.numerator}\text{{ cm}}"]
    return found


@given(rationals)
def test_every_spelling_of_a_number_is_that_number(value: Fraction):
    texts = spellings(value)
    assert all(compare(one, other) for one in texts[:2] for other in texts)


@given(rationals, rationals)
def test_different_numbers_differ_in_every_spelling(value: Fraction, other: Fraction):
    if value != other:
        assert not any(compare(one, two) for one in spellings(value) for two in spellings(other))


@given(rationals)
def test_one_more_is_wrong(value: Fraction):
    assert compare(str(value), str(value + 1)) is False
    assert compare(str(value), str(value - 1)) is False


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_texts_can_be_compared_and_a_text_is_itself(one: str, other: str):
    assert compare(one, one) is True
    assert compare(one, other) in (True, False, None)
    assert makes_sense(one) in (True, False)


@given(st.text(max_size=100))
def test_cleaning_is_stable_in_what_it_keeps(text: str):
    assert "\x00" not in clean(text)
    assert not any(0xD800 <= ord(character) < 0xE000 for character in clean(text))


@given(st.lists(st.integers(-99, 99), min_size=2, max_size=5, unique=True), st.randoms())
def test_sets_have_no_order_and_tuples_have(items: list[int], random):
    shuffled = items[:]
    random.shuffle(shuffled)
    written, other = ", ".join(map(str, items)), ",".join(map(str, shuffled))
    assert compare(rf"\{{{written}\}}", rf"\left\{{{other}\right\}}") is True
    assert compare(f"({written})", f"({other})") is (items == shuffled)
    assert compare(f"({written})", rf"\{{{written}\}}") is False


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1/2", Fraction(1, 2)),
        (r"1\frac{1}{2}", Fraction(3, 2)),
        (r"0.1\overline{6}", Fraction(1, 6)),
        (r"\overline{3}", None),
        ("-2^2", Fraction(-4)),
        ("2^{-3}", Fraction(1, 8)),
        ("2^3^2", Fraction(512)),
        ("3!", Fraction(6)),
        ("1.5e-3", Fraction(3, 2000)),
        ("8/2/2", Fraction(2)),
        ("1-2-3", Fraction(-4)),
        ("2(3+4)", Fraction(14)),
        ("(2)(3)", Fraction(6)),
        (r"3\frac{4}{2}", None),
        ("1/0", None),
        ("0^0", None),
        ("2 3", None),
        ("x", None),
        ("", None),
        ("()", None),
        ("1+", None),
        ("2e", None),
        ("9^{9^{9^9}}", None),
        ("((99!)!)!", None),
        ("1e999999999", None),
        ("2^{1/2}", None),
        ("(" * 5000 + "1" + ")" * 5000, None),
        ("9" * 10_000, None),
    ],
)
def test_rational(text: str, value: Fraction | None):
    assert rational(text) == value


def test_numbers_that_are_near_are_different():
    assert compare("3.14", "3.15") is False
    assert compare("1/3", "0.333") is False


def test_long_texts_are_compared_as_texts():
    assert compare("7" * 10_000, "7" * 10_000) is True
    assert compare("7" * 10_000, "7" * 10_000 + ".0") is False
