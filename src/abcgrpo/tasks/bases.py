"""Models by name: the small bases that travel with this package, directories, and the hub's."""

from importlib.resources import files
from pathlib import Path

from abcgrpo.errors import UserError
from abcgrpo.run_files import ADAPTER_CONFIG

_TASKS = Path(str(files("abcgrpo.tasks")))
BASES = {f"{path.parent.parent.name.replace('_', '-')}-base": path.parent for path in _TASKS.glob("*/base/config.json")}
"""Name → directory: a task's folder with a `base` in it. Made by `python -m abcgrpo.tasks.pretrain`."""


def resolve_model(name: str) -> str:
    """A model's directory or hub id: a name of `BASES` is that shipped base, the rest stays as it is.

    Raises:
        UserError: a path to a directory that is not there, or that holds no model or only an adapter of one.
    """
    if name in BASES:
        return str(BASES[name])
    path = Path(name)
    if path.is_dir():
        if (path / ADAPTER_CONFIG).is_file():
            raise UserError(
                f"{name} is an adapter, which can be evaluated but not trained from: name its base, or the directory "
                f"of a model into which it was merged (PEFT's merge_and_unload)."
            )
        if not (path / "config.json").is_file():
            raise UserError(f"{name} is a directory without a model: it has no config.json.")
    elif name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"There is no model at {name}: no such directory.")
    return name
