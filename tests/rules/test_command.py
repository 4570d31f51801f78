"""`abcgrpo rules`: what a reader is told of a rule."""

import pytest
from typer.testing import CliRunner

from abcgrpo.cli.app import app
from abcgrpo.cli.rules import parse_rule
from abcgrpo.errors import UserError
from abcgrpo.rules import RULES


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["rules", *arguments])
    if result.exception:
        raise result.exception
    return " ".join(result.output.split())


def test_the_list_has_every_rule() -> None:
    listed = said()
    assert all(f" {name} " in f" {listed} " for name in RULES)
    assert "2503.14476" in listed


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_explained(name: str) -> None:
    text = said(name)
    assert text.startswith(name)
    assert "w where Â > 0" in text


def test_parameters_and_weights_are_those_of_the_rule_that_was_asked_for() -> None:
    text = said("{name: ce_gppo, beta_low: 0.25}")
    assert "beta_low 0.25 β1: what remains below the bound of Q3" in text
    assert " 0.5 0.5 " in text  # Q2 is open: w = r at r = 0.5
    assert " 0.2 " in text  # 0.25 · (1 − 0.2) in Q3
    assert "had probability 0.9" in said("dppo_tv", "--old-probability", "0.9")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["grpoo"], "Did you mean 'grpo'"),
        (["{name: grpo, eps"], "Write \\{name: clip_higher"),
        (["grpo", "--old-probability", "0"], "a probability above 0"),
        (["--old-probability", "0.5"], "no effect with the list"),
    ],
)
def test_mistakes_are_told(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        said(*arguments)


def test_a_rule_on_a_command_line() -> None:
    assert parse_rule("cispo") == "cispo"
    assert parse_rule("{name: clip_higher, high: 0.3}") == {"name": "clip_higher", "high": 0.3}
