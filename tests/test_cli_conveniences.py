"""`abcgrpo recipes`, `--version`, `--json`, `--quiet`, completion and `--help`, as a user meets them."""

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


def test_json_describes_rules():
    records = {record["name"]: record for record in json.loads(invoke("rules", "--json").output)}
    assert "2503.14476" in records["clip_higher"]["paragraphs"][0]
    one = json.loads(invoke("rules", "{name: clip_higher, high: 0.3}", "--json").output)
    assert {each["name"]: each["value"] for each in one["parameters"]} == {"low": 0.2, "high": 0.3}
    assert records["dual_clip"]["parameters"][1]["name"] == "c"
    assert "no effect" in str(invoke("rules", "grpo", "--json", "--old-probability", "0.5").exception)


def test_json_and_quiet_of_a_comparison(tmp_path):
    scores = tmp_path / "scores.csv"
    rows = [f"{arm},{seed},q{q},{q % 2},2" for arm in ("A", "B") for seed in (1, 2) for q in range(4)]
    scores.write_text("arm,seed,question,correct,n\n" + "\n".join(rows) + "\n")
    command = ("compare", str(scores), "--output", str(tmp_path / "out"))
    printed = json.loads(invoke(*command, "--json").output)
    assert printed == json.loads((tmp_path / "out" / "report.json").read_text())
    assert invoke(*command, "--quiet").output == ""
    assert "no effect" in str(invoke(*command, "--quiet", "--json").exception)
