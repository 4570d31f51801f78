"""The README's code runs, and what the documents name exists."""

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_objective_in_ten_lines_runs():
    (code, *_) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict = {}
    torch.manual_seed(0)
    exec(code, names)
    assert names["abc"].isfinite()
    assert names["abc"] != names["grpo"]  # ratios above 1.2 in Q4: clipped by one rule and not by the other
    gradient = names["logprobs"].grad
    assert (gradient != 0).sum() >= 6  # something is learned,
    assert (gradient == 0).sum() >= 3  # and something is clipped


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\((?!http)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_files_exist(document):
    for name in re.findall(r"`((?:src|tests|benchmarks|measurements|docs|audit)/[\w./-]+)`", document.read_text()):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"python ((?:timings|measurements|audit)/\w+\.py)", document.read_text()):
        assert (ROOT / name).exists(), name
