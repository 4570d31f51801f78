import logging

import pytest

from abcgrpo.grading import accuracy_reward, compute_score


def test_plain_and_conversational_completions():
    plain = [r"\boxed{27}", r"\boxed{28}", "27"]
    conversations = [[{"role": "assistant", "content": text}] for text in plain]
    assert accuracy_reward(plain, answer=[27.0, 27.0, 27.0]) == [1.0, 0.0, 0.0]
    assert accuracy_reward(conversations, answer=["27", 27, 27.0], prompts=["?"] * 3, trainer_state=None) == [
        1.0,
        0.0,
        0.0,
    ]
    parts = [[{"role": "assistant", "content": [{"type": "text", "text": r"\boxed{27}"}]}]]
    assert accuracy_reward(parts, answer=[27]) == [1.0]
    assert accuracy_reward([[{"role": "assistant", "content": None}]], answer=[27]) == [0.0]
    assert accuracy_reward([], answer=[]) == []


@pytest.mark.parametrize(
    "gold", ["", "  ", None, float("nan"), float("inf"), True, [27], r"\frac{1}{", r"\boxed{}", r"\frac{@}{}"]
)
def test_an_unparsable_gold_gives_none_and_is_reported(gold, caplog: pytest.LogCaptureFixture):
    metrics: dict[str, float] = {}
    with caplog.at_level(logging.WARNING, logger="abcgrpo.grading"):
        rewards = accuracy_reward(
            [r"\boxed{27}", "no box", r"\boxed{1}"], answer=[gold, gold, 1], log_metric=metrics.__setitem__
        )
    assert rewards == [None, None, 1.0]
    assert "2 of 3 golds cannot be parsed" in caplog.text
    assert metrics["grading/unparsable_gold"] == pytest.approx(2 / 3)
    assert compute_score("set", r"\boxed{27}", gold) is None


def test_extra_columns():
    columns: dict[str, list] = {}
    accuracy_reward([r"\boxed{1/2}", "none"], answer=[0.5, 2], log_extra=columns.__setitem__)
    assert columns == {"gold": ["0.5", "2"], "extracted_answer": ["1/2", ""], "grading_reason": ["exact", "no_answer"]}


def test_verl_signature():
    assert compute_score("math", r"\boxed{\frac{2}{4}}", "1/2") == 1.0
    assert compute_score("math", r"\boxed{2}", "1/2", extra_info={"index": 3}) == 0.0


def test_errors_name_what_came():
    with pytest.raises(ValueError, match="1 responses but 2 golds"):
        accuracy_reward([r"\boxed{1}"], answer=[1, 2])
    with pytest.raises(TypeError, match="got int"):
        accuracy_reward([[{"role": "assistant", "content": 3}]], answer=[3])  # type: ignore[list-item]
