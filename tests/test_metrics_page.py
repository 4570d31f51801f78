"""docs/metrics.md describes every metric that real runs log, and none that nothing logs."""

import inspect
import re
from pathlib import Path

import pytest
import trl

from abcgrpo.cli import main
from tests.test_command_line import RECIPE

ROOT = Path(__file__).parent.parent
PLACEHOLDER = re.compile(r"<\w+>")


def described(text: str) -> set[str]:
    """The names in the first column of a text's tables."""
    cells = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def pattern(name: str) -> re.Pattern[str]:
    """What a described name matches: a placeholder stands for one part of a name."""
    return re.compile(PLACEHOLDER.sub(r"[^/]+", name))


def undescribed(logged: set[str], names: set[str]) -> set[str]:
    return {metric for metric in logged if not any(pattern(name).fullmatch(metric) for name in names)}


@pytest.fixture(scope="module")
def logged(tmp_path_factory) -> set[str]:
    """All that two optimizer steps with a KL term and an adaptive rule log, the summary of the run included."""
    import json

    directory = tmp_path_factory.mktemp("metrics")
    options = ["--beta", "0.01", "--rule", "self_tuned", "--learning_rate", "1e-2"]
    (directory / "recipe.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setattr("sys.argv", ["abcgrpo", "train", "recipe.yaml", *options])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    lines = (directory / "out" / "metrics.jsonl").read_text().splitlines()
    return {name for line in lines for name in json.loads(line)}


PAGE = (ROOT / "docs" / "metrics.md").read_text()
ALWAYS, SOMETIMES = (described(part) for part in PAGE.split("## In some runs"))


def test_every_logged_metric_is_described(logged):
    assert len(logged) > 60
    assert undescribed(logged, ALWAYS | SOMETIMES) == set()
    assert undescribed(logged, ALWAYS) != set()  # such as kl: its row is among the others


def test_every_metric_of_every_run_is_logged(logged):
    assert {name for name in ALWAYS if not any(pattern(name).fullmatch(metric) for metric in logged)} == set()


def test_no_metric_of_some_runs_is_invented(logged):
    sources = [*(ROOT / "src/abcgrpo").rglob("*.py"), Path(inspect.getfile(trl.GRPOTrainer))]
    text = "\n".join(path.read_text() for path in sources)
    invented = set()
    for name in SOMETIMES:
        if not any(pattern(name).fullmatch(metric) for metric in logged) and f'"{name}"' not in text:
            invented.add(name)
    assert invented == set()
    assert '"clip_ratio/nothing"' not in text  # the search can fail
