"""The check in the environment that verl has, and in environments where something is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("verl", reason="verl has an environment of its own: make test-verl")


def doctor(**variables: str) -> tuple[int, str]:
    """Exit code and output of `abcgrpo doctor --engine verl` with these environment variables."""
    command = [sys.executable, "-m", "abcgrpo", "doctor", "--engine", "verl"]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=600)
    return done.returncode, done.stdout


@pytest.mark.slow
def test_a_sound_environment():
    code, output = doctor()
    assert code == 0, output
    assert "ok    route: the entry point 'abcgrpo' of the group verl.plugins" in output
    assert "ok    a fresh process that imports verl has the policy loss abc_grpo" in output
    assert "wrong" not in output


@pytest.mark.slow
def test_an_entry_point_that_is_kept_out():
    code, output = doctor(VERL_USE_EXTERNAL_PLUGINS="none")
    assert code == 1
    assert "VERL_USE_EXTERNAL_PLUGINS=none keeps the entry point 'abcgrpo' out" in output
    assert "wrong a fresh process that imports verl does not have the policy loss abc_grpo" in output


@pytest.mark.slow
def test_a_name_that_another_plug_in_took(tmp_path: Path):
    (tmp_path / "squatter.py").write_text(
        "from verl.trainer.ppo.core_algos import register_policy_loss\n"
        "@register_policy_loss('abc_grpo')\n"
        "def theirs(**_): ...\n"
    )
    code, output = doctor(VERL_USE_EXTERNAL_MODULES="squatter", PYTHONPATH=str(tmp_path))
    assert code == 1
    assert "wrong the name abc_grpo belongs to another plug-in's squatter.theirs" in output
    assert "wrong abcgrpo.verl cannot be imported: RuntimeError: verl has another policy loss" in output


@pytest.mark.slow
def test_a_trl_that_verl_cannot_use(tmp_path: Path):
    (tmp_path / "trl").mkdir()
    (tmp_path / "trl" / "__init__.py").touch()  # like trl 1.16, without AutoModelForCausalLMWithValueHead
    code, output = doctor(PYTHONPATH=str(tmp_path))
    assert code == 1
    assert "wrong verl's training engine will not start: ImportError" in output
    assert "give verl an environment of its own" in output
