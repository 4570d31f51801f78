import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from abcgrpo.grading import extract_answer
from abcgrpo.grading.extraction import fallback_answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"so \boxed{42}.", "42"),
        (r"so \fbox{42}.", "42"),
        (r"\boxed {42}", "42"),
        (r"\boxed{1} no, \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{\boxed{7}}", r"\boxed{7}"),
        (r"\boxed{x=\fbox{7}} done", r"x=\fbox{7}"),
        (r"<think>\boxed{1}</think> the answer is \boxed{2}", "2"),
        (r"<think>\boxed{1}</think> the answer is 2", None),
        (r"<think>a</think>\boxed{1}</think>\boxed{2}", "2"),
        (r"<think> never ends \boxed{3}", "3"),
        ("42", None),
        (r"\boxed{}", None),
        (r"\boxed{  }", None),
        (r"\boxed{1} and put it in \boxed{}", None),
        (r"\boxed{42", None),
        (r"\boxed{1} then \boxed{42", None),
        (r"\boxed{1} then \boxed{\frac{4}{2}", None),
        (r"an open \boxed{12 + so \boxed{42}", "42"),
        (r"{ \boxed{42}", "42"),
        (r"} \boxed{42} }", "42"),
        (r"\boxed{1} and \boxed{2}", "1, 2"),
        (r"$\boxed{1}$, $\boxed{2}$, and $\boxed{3}$.", "1, 2, 3"),
        (r"$\boxed{1}$ or $\boxed{2}$", "1, 2"),
        (r"\boxed{1} \text{ and } \boxed{2}", "1, 2"),
        (r"first \boxed{9}. Then \boxed{1} and \boxed{2}", "1, 2"),
        (r"\boxed{1} \boxed{2}", "2"),
        (r"\boxed{5}, that is \boxed{5}", "5"),
        (r"\boxed{5}, \boxed{5}", "5"),
        (r"\boxed{1}, \boxed{}", None),
        (r"\\boxed{42}", "42"),
        (r"so \boxed 5", "5"),
        (r"so \boxed5.", "5"),
        (r"so \boxed -42 .", "-42"),
        (r"first \boxed{1}, no, \boxed 2.5", "2.5"),
        (r"put it in \boxed", None),
        (r"\boxed{\boxed 7}", r"\boxed 7"),
        (r"x=\boxed{1}, y=\boxed{2}", "x=1, y=2"),
        (r"x=\boxed1, y=\boxed2", "x=1, y=2"),
        (r"$x = \boxed{1}$ and $y = \boxed{2}$", "x=1, y=2"),
        (r"$x_1=\boxed{1}$, $x_2=\boxed{2}$, $x_3 = \boxed{3}$", "x_1=1, x_2=2, x_3=3"),
        (r"\boxed{1}, y=\boxed{2}", "2"),
        (r"so x=\boxed{7}", "7"),
        (r"x=\boxed{7}, \boxed{8}", "7, 8"),
        ("", None),
        ("</think>", None),
    ],
)
def test_the_last_box(response: str, answer: str | None):
    assert extract_answer(response) == answer


@given(st.text())
@example("\\boxed{\x00}")
def test_any_text_can_be_read(text: str):
    extract_answer(text)
    fallback_answer(text)


balanced = st.recursive(
    st.text(st.characters(exclude_characters="\\{}", exclude_categories=["Cs"]), min_size=1),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda parts: "".join(f"{{{part}}}x" for part in parts)),
    max_leaves=10,
).filter(lambda text: text.strip() and "</think>" not in text)


@given(st.text(st.characters(exclude_characters="\\{}<")), balanced)
def test_balanced_content_comes_back_as_it_was(before: str, content: str):
    assert extract_answer(rf"{before}\boxed{{{content}}}") == content.strip()


@given(balanced)
def test_without_its_last_brace_there_is_no_answer(content: str):
    assert extract_answer(rf"\boxed{{{content}") is None


@pytest.mark.parametrize(
    "piece", [r"\boxed{1}, ", r"\boxed{", "{", "}", r"\\", "\\", " and ", r"\boxed{1} ", "</think>"]
)
def test_linear_time(piece: str):
    extract_answer(piece * 1000)
    start = time.process_time()
    extract_answer(piece * 200_000)
    assert time.process_time() - start < 3.0


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("The answer is 42.", "42."),
        ("The final answer is: **42**", "42"),
        ("3 apples and 4 pears make 7 fruits", "7"),
        (r"the answer is \boxed{", None),
        (r"the answer is 4, so \boxed{}", None),
        ("nothing", None),
    ],
)
def test_fallback(response: str, answer: str | None):
    assert fallback_answer(response) == answer
