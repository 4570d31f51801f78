"""Whether verl's processes will find the policy loss `abc_grpo`.

verl loads plug-ins when it is imported, and writes a plug-in's error to its DEBUG log alone; that a policy loss is
missing shows at the first update, after a rollout on all machines. The check imports verl in a fresh process, as verl's
workers do, and looks.
"""

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec

from abcgrpo.doctor import Finding
from abcgrpo.doctor.verl_process import LOSS, PLUGIN

GROUP = "verl.plugins"
TESTED = "0.9.1"
SHOWN_VERSIONS = (
    "abcgrpo",
    "verl",
    "torch",
    "transformers",
    "ray",
    "tensordict",
    "TransferQueue",
    "trl",
    "vllm",
    "sglang",
)
UNDECLARED = {"transfer_queue": "TransferQueue", "uvicorn": "uvicorn", "fastapi": "fastapi", "cachetools": "cachetools"}
"""Modules that verl's trainer imports and its own requirements leave out → the package that has them."""


def examine() -> list[Finding]:
    """Versions, missing packages, the routes to the plug-in, and what a fresh process has."""
    shown = ", ".join(f"{name} {found}" for name, found in installed_versions().items())
    if find_spec("verl") is None:
        advice = "in an environment of its own: pip install -c constraints-verl.txt 'abcgrpo[verl]'"
        return [Finding("note", shown), Finding("wrong", f"verl is not installed ({advice})")]
    return [Finding("note", shown), *_tested_version(), *_missing_packages(), *_routes(), *_fresh_process()]


def installed_versions() -> dict[str, str]:
    """The installed ones of the packages that matter here."""
    found = {}
    for name in SHOWN_VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _tested_version() -> list[Finding]:
    installed = installed_versions().get("verl", "of unknown version")
    if installed == TESTED:
        return [Finding("ok", f"verl {installed} is the version that the tests ran with")]
    return [Finding("note", f"the tests ran with verl {TESTED}, and this is verl {installed}")]


def _missing_packages() -> list[Finding]:
    missing = [package for module, package in UNDECLARED.items() if find_spec(module) is None]
    if not missing:
        return []
    return [Finding("wrong", f"verl's trainer needs packages that are missing: pip install {' '.join(missing)}")]


def _routes() -> list[Finding]:
    """How verl's processes come to import the plug-in: by its entry point, by an environment variable."""
    findings = []
    names = [point.name for point in entry_points(group=GROUP) if point.value == PLUGIN]
    policy = os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "auto").strip().lower()
    if names and (policy == "auto" or names[0] in [name.strip() for name in policy.split(",")]):
        findings.append(Finding("ok", f"route: the entry point {names[0]!r} of the group {GROUP}"))
    elif names:
        text = (
            f"VERL_USE_EXTERNAL_PLUGINS={policy} keeps the entry point {names[0]!r} out: add it, or unset the variable"
        )
        findings.append(Finding("note", text))
    else:
        text = f"no entry point of the group {GROUP} names {PLUGIN}: install abcgrpo with pip (-e will do)"
        findings.append(Finding("note", text))
    if PLUGIN in [name.strip() for name in os.environ.get("VERL_USE_EXTERNAL_MODULES", "").split(",")]:
        findings.append(Finding("ok", f"route: VERL_USE_EXTERNAL_MODULES names {PLUGIN}"))
    return findings


def _fresh_process() -> list[Finding]:
    """What a new process sees that imports verl."""
    program = [sys.executable, "-m", "abcgrpo.doctor.verl_process"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return [Finding("wrong", f"a fresh process that imports verl fails: {done.stderr.strip()[-800:]}")]
    found = json.loads(done.stdout.splitlines()[-1])
    if "verl" in found:
        return [Finding("wrong", f"verl cannot be imported: {found['verl']}")]
    findings = [_loss(found["loss_of"])]
    if "plugin" in found:
        findings.append(Finding("wrong", f"{PLUGIN} cannot be imported: {found['plugin']}"))
    if "engine" in found:
        advice = "verl needs trl 0.27 or none, and abcgrpo[trl] needs trl 1.16: give verl an environment of its own"
        trl = f". {advice}" if "trl" in found["engine"] else ""
        findings.append(Finding("wrong", f"verl's training engine will not start: {found['engine']}{trl}"))
    else:
        findings.append(Finding("ok", "verl's training engine can be imported"))
    return findings


def _loss(holder: str | None) -> Finding:
    """Module and name of the function that has the loss's name in a fresh process."""
    if holder == f"{PLUGIN}.loss.{LOSS}":
        return Finding("ok", f"a fresh process that imports verl has the policy loss {LOSS}")
    if holder is not None:
        return Finding("wrong", f"the name {LOSS} belongs to another plug-in's {holder}: remove one of the two")
    return Finding(
        "wrong",
        f"a fresh process that imports verl does not have the policy loss {LOSS}. Repair the route above, or set "
        f"VERL_USE_EXTERNAL_MODULES={PLUGIN} on every machine: with it, verl does not start without the loss",
    )
