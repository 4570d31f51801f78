"""What a run ran with: versions, commit, machine. Never the environment, which holds secrets."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("abcgrpo", "torch", "trl", "transformers", "accelerate", "datasets", "peft", "vllm", "deepspeed")


def environment() -> dict[str, Any]:
    """Versions of the packages that matter, the source's commit, and the machine."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "git_commit": _commit(),
        "cpu_count": os.cpu_count(),
        "accelerators": _accelerators(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout that this package runs from; None where it was installed from a wheel."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        inside = subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, timeout=10)
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if inside.returncode or commit.returncode:
        return None
    return commit.stdout.strip() + ("+changes" if changed.stdout else "")


def _accelerators() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
