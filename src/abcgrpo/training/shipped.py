"""The recipes that travel with this package, by name: `qwen3-4b-base/paper-abc-grpo`."""

from importlib.resources import files
from pathlib import Path

from abcgrpo.errors import UserError, unknown_name

SHIPPED = Path(str(files("abcgrpo") / "recipes"))
"""Experiments (`quickstart.yaml`) and a folder of recipes for each model; beside them `NOT_OURS`."""
NOT_OURS = ("launch", "verl")
"""How to start several processes, and recipes of verl's own trainer."""


def recipe_names() -> list[str]:
    """The shipped recipes of `abcgrpo train`: folder/stem."""
    found = (path for path in SHIPPED.glob("*/*.yaml") if path.parent.name not in NOT_OURS)
    return sorted(f"{path.parent.name}/{path.stem}" for path in found)


def recipe_path(name_or_path: str) -> Path:
    """The file of a recipe: a path, or the name of a shipped one.

    Raises:
        UserError: neither.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    if name_or_path not in recipe_names():
        raise unknown_name("recipe", name_or_path, recipe_names(), "train")
    return SHIPPED / f"{name_or_path}.yaml"


def run_name(path: Path) -> str:
    """What the run of a recipe is called: folder/stem of a shipped one, the stem of any other."""
    folder = path.resolve().parent
    return f"{folder.name}/{path.stem}" if folder.parent == SHIPPED.resolve() else path.stem


def launch_configuration(name_or_path: str) -> Path:
    """A launch configuration of accelerate: a path, or the name of a shipped one (ddp, fsdp2, zero2, zero3).

    Raises:
        UserError: neither.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise UserError(f"resources: launch: {path} does not exist.")
        return path
    known = {each.stem: each for each in (SHIPPED / "launch").glob("*.yaml")}
    if name_or_path not in known:
        raise unknown_name("launch configuration", name_or_path, known, "resources")
    return known[name_or_path]


def shipped_experiments() -> dict[str, Path]:
    """Name → file of every shipped experiment of `abcgrpo run`."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def shipped_files() -> dict[str, Path]:
    """Name → file of every shipped experiment, then of every shipped recipe."""
    return shipped_experiments() | {name: SHIPPED / f"{name}.yaml" for name in recipe_names()}


def shipped_file(name: str) -> Path:
    """The file of a shipped experiment or recipe.

    Raises:
        UserError: there is none of this name.
    """
    known = shipped_files()
    if name not in known:
        raise unknown_name("recipe or experiment", name, known, "recipes")
    return known[name]
