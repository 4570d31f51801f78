"""Every extra can be installed: its versions are resolved from the package index, and nothing is installed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def resolve(*arguments: str, python: str = "3.11") -> dict[str, str]:
    """Names and versions that satisfy all requirements, for Linux with an NVIDIA GPU.

    Raises:
        ValueError: no versions do.
    """
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    command += ["--python-version", python, "--python-platform", "x86_64-unknown-linux-gnu", *arguments]
    found = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if "error sending request" in found.stderr or "Failed to fetch" in found.stderr:
        pytest.skip("the package index does not answer")
    if found.returncode:
        raise ValueError(found.stderr)
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", found.stdout, re.MULTILINE | re.IGNORECASE))


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.12"])
@pytest.mark.parametrize("extra", ["test", "vllm", "verl"])  # test holds the others
def test_the_extra_resolves(extra, python):
    assert resolve(str(PROJECT), "--extra", extra, python=python)["torch"]


@pytest.mark.slow
def test_trl_and_vllm_meet():
    found = resolve(str(PROJECT), "--extra", "vllm")
    assert found["trl"].startswith("1.16.")
    assert found["vllm"].startswith("0.31.")
    assert found["transformers"].startswith("5.17.")


@pytest.mark.slow
def test_with_the_newest_transformers_vllm_does_not(tmp_path):
    newest = tmp_path / "newest.txt"
    newest.write_text("transformers>=5.23")
    with pytest.raises(ValueError, match="No solution found"):
        resolve(str(PROJECT), "--extra", "vllm", "--constraint", str(newest))
