"""What a built wheel holds."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_recipes_templates_and_base_travel_in_the_wheel(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, timeout=600)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "src"
    for path in (source / "abcgrpo").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert str(path.relative_to(source)) in names
    assert "abcgrpo/tasks/countdown/base/model.safetensors" in names

    code = (
        f"import sys; sys.path.insert(0, {str(wheel)!r}); import abcgrpo; assert {str(wheel)!r} in abcgrpo.__file__;"
        "from abcgrpo import Boundaries; assert Boundaries().eps_pos_low == 0.2"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
