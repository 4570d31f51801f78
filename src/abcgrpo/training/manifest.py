"""What a run ran with: settings, versions, commit, machine. Never the environment's variables, which hold secrets."""

import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from abcgrpo.files import plain, without_secrets

PACKAGES = ("abcgrpo", "torch", "trl", "transformers", "accelerate", "datasets", "peft", "vllm", "deepspeed")


def settings(arguments: Any) -> dict[str, Any]:
    """Every field of the trainer's arguments as it was resolved, defaults too, without secrets."""
    return json.loads(json.dumps(plain(without_secrets(arguments.to_dict())), default=str))


def environment() -> dict[str, Any]:
    """Versions of the packages that matter, the source's commit, and the machine."""
    import torch

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "git_commit": _commit(),
        "cpu": _cpu(),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "accelerators": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout that this package runs from; None if it was installed from a wheel."""
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


def _cpu() -> str:
    """The processor's name, as Linux tells it; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
