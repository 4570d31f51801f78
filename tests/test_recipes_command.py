"""`abcgrpo recipes`, `--version`, completion and `--help`, as a user meets them."""

import json
import re

import pytest
import typer
from typer.testing import CliRunner

from abcgrpo.cli.app import app
from abcgrpo.errors import UserError
from abcgrpo.training.shipped import SHIPPED


def invoke(*arguments: str):
    return CliRunner().invoke(app, arguments)


def test_the_list_has_every_file_and_its_command():
    records = json.loads(invoke("recipes", "list", "--json").output)
    commands = {record["name"]: record["command"] for record in records}
    assert commands["quickstart"] == "run"
    assert commands["qwen3-4b-base/paper-abc-grpo"] == "train"
    assert "launch/zero3" not in commands
    files = [path for path in SHIPPED.rglob("*.yaml") if path.relative_to(SHIPPED).parts[0] not in ("launch", "verl")]
    assert {record["path"] for record in records} == {str(path) for path in files}
    (quickstart,) = [record for record in records if record["name"] == "quickstart"]
    assert quickstart["purpose"] == "GRPO and ABC-GRPO from the same base on countdown: minutes on two CPU cores."
    shown = invoke("recipes", "list").output
    assert all(name in shown for name in commands)


def test_a_file_is_shown_and_copied_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (SHIPPED / "quickstart.yaml").read_text()
    assert invoke("recipes", "show", "quickstart").output == text
    assert "abcgrpo run quickstart.yaml" in invoke("recipes", "copy", "quickstart").output
    assert (tmp_path / "quickstart.yaml").read_text() == text
    again = invoke("recipes", "copy", "quickstart")
    assert isinstance(again.exception, UserError)
    assert "exists already" in str(again.exception)
    assert "does not exist" in str(invoke("recipes", "copy", "quickstart", "nowhere/mine.yaml").exception)
    assert "Did you mean 'quickstart'" in str(invoke("recipes", "show", "quickstrat").exception)


def test_the_version_is_the_packages():
    import abcgrpo

    assert invoke("--version").output == f"abcgrpo {abcgrpo.__version__}\n"


def commands() -> dict[str, list[str]]:
    """Words → of every command, and of the application itself."""
    found: dict[str, list[str]] = {"abcgrpo": []}

    def walk(command, words):
        for name, child in getattr(command, "commands", {}).items():
            found[" ".join([*words, name])] = [*words, name]
            walk(child, [*words, name])

    walk(typer.main.get_command(app), [])
    return found


@pytest.mark.parametrize("words", commands().values(), ids=commands())
def test_help_fits_80_columns_and_says_what_each_option_does(words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    shown = invoke(*words, "--help").output
    assert max(map(len, shown.splitlines())) <= 80
    assert not re.search(r"\S…\s*│", shown)  # no cell is truncated
    command = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]  # type: ignore[attr-defined]
    assert command.help
    for parameter in command.params:
        if not getattr(parameter, "hidden", False):
            assert getattr(parameter, "help", None), parameter.name


def test_completion_can_be_installed():
    assert "--install-completion" in invoke("--help").output
