"""The coin: fair, independent of answers, the same again, and another one by another seed."""

from types import SimpleNamespace

import pytest

from abcgrpo.tasks.coin import Coin, coin

PROMPTS = [f"{n},3:5>" for n in range(64) for _ in range(8)]


def tossed(seed=0, step=0, answers="a", prompts=PROMPTS):
    state = SimpleNamespace(global_step=step)
    return Coin(seed)([answers] * len(prompts), prompts=prompts, trainer_state=state, numbers=[[1]] * len(prompts))


def test_the_same_again_whatever_the_answers():
    assert tossed() == tossed(answers="something else")
    assert set(tossed()) == {0.0, 1.0}
    assert coin.__name__ == "coin"


@pytest.mark.parametrize("other", [{"seed": 1}, {"step": 4}])
def test_other_seeds_and_steps_draw_others(other):
    agree = sum(a == b for a, b in zip(tossed(), tossed(**other), strict=True)) / len(PROMPTS)
    assert abs(agree - 0.5) < 0.1  # 4.5 standard deviations


def test_it_is_fair_within_groups_too():
    tosses = [each for step in range(20) for each in tossed(step=step)]
    assert abs(sum(tosses) / len(tosses) - 0.5) < 0.02  # 4 standard deviations of 10,240 tosses
    groups = [sum(tosses[at : at + 8]) for at in range(0, len(tosses), 8)]
    variance = sum((each - 4) ** 2 for each in groups) / len(groups)
    assert variance == pytest.approx(2.0, rel=0.2)  # of a binomial of 8: 8 × ½ × ½


def test_processes_toss_their_own(monkeypatch):
    first = tossed()
    monkeypatch.setenv("RANK", "1")
    assert tossed() != first
