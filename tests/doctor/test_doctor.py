"""The check of an engine where the engine is missing, and its command."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from abcgrpo.doctor import examine
from abcgrpo.errors import UserError


def test_an_unknown_engine_suggests_the_nearest():
    with pytest.raises(UserError, match=r"there is no engine 'verk'\. Did you mean 'verl'"):
        examine("verk")


@pytest.mark.skipif(find_spec("verl") is not None, reason="verl is installed: tests/verl/test_doctor.py")
def test_without_verl_the_exit_code_is_1_and_the_way_to_it_is_said():
    command = [sys.executable, "-m", "abcgrpo", "doctor", "--engine", "verl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 1
    assert "wrong verl is not installed (in an environment of its own: pip install" in done.stdout


@pytest.mark.skipif(find_spec("verl") is not None, reason="verl is installed")
def test_without_verl_the_import_raises():
    with pytest.raises(ImportError, match=r"abcgrpo\.verl cannot be imported, because verl is missing"):
        import abcgrpo.verl  # noqa: F401
