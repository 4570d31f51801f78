"""The tutorials' files and commands, run as a reader runs them, in the order of the page."""

import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from abcgrpo.cli.app import app

TUTORIALS = Path(__file__).parent.parent / "docs" / "tutorials"


def follow(page: str, directory: Path) -> None:
    """Write the page's files, each before the block that holds it named as `name`, and run its commands."""
    text = (TUTORIALS / page).read_text()
    files = re.findall(r"`([\w-]+\.(?:yaml|py|jsonl|csv))`[^`]*?```(?:yaml|python|json|csv)\n(.*?)```", text, re.DOTALL)
    assert files
    for name, content in files:
        (directory / name).write_text(content)
    commands = re.findall(r"^\$ (.+)$", text, re.MULTILINE)
    assert commands
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "python":
            runpy.run_path(arguments[0], run_name="__main__")
        else:
            assert program == "abcgrpo"
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, (command, result.exception, result.output)


@pytest.fixture
def directory(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_only_the_objective(directory, capsys):
    follow("objective.md", directory)
    lines = dict(re.findall(r"^(\w+) .*: (\d+)$", capsys.readouterr().out, re.MULTILINE))
    assert 0 < int(lines["grpo"]) <= int(lines["abc_grpo"])
    assert int(lines["cispo"]) == 0


def test_from_anyones_logs(directory):
    follow("logs.md", directory)
    logs = json.loads((directory / "from-logs" / "report.json").read_text())
    assert logs["arms"]["GRPO"]["entropy"]["final"] == pytest.approx(0.5)
    assert logs["arms"]["ABC-GRPO"]["entropy"]["final"] == pytest.approx(0.8)
    scores = json.loads((directory / "from-scores" / "report.json").read_text())
    (benchmark,) = scores["benchmarks"]
    assert scores["arms"]["GRPO"]["evaluation"][benchmark]["avg@4"]["value"] == pytest.approx(14 / 24)
    assert {each["verdict"] for each in scores["comparisons"]} == {"inconclusive"}
    assert (directory / "from-logs" / "report.html").exists()
    assert (directory / "from-scores" / "report.html").exists()


def test_from_a_trl_script(directory, capsys):
    follow("trl-script.md", directory)
    lines = re.findall(r"^(\d) ([\d.e-]+) ([\d.e-]+)$", capsys.readouterr().out, re.MULTILINE)
    assert [step for step, _, _ in lines] == ["1", "2"]
    assert [float(lines[0][1]), float(lines[0][2])] == [pytest.approx(1.0, abs=1e-5), 0.0]


@pytest.mark.slow
def test_your_first_comparison(directory):
    follow("first-comparison.md", directory)
    report = json.loads((directory / "runs" / "first" / "report" / "report.json").read_text())
    assert list(report["arms"]) == ["GRPO", "ABC-GRPO"]
    assert report["arms"]["GRPO"]["seeds"] == [1]
    assert (directory / "runs" / "first" / "report" / "report.html").exists()
    between = [each for each in report["comparisons"] if "base" not in (each.get("reference"), each.get("other"))]
    assert between
