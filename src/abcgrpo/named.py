"""Known names and import paths → objects: how rules, advantages, tasks and rewards are named everywhere."""

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError, unknown_name


def resolve(name: str, known: Mapping[str, str], kind: str, where: str | None = None) -> Any:
    """The object that `name` stands for.

    Args:
        name: a key of `known`, or the import path of one's own object: `package.module.Object` or
            `package.module:Object`. The current directory is searched too.
        known: name → import path (`package.module:Object`) of what this package has. Nothing is imported before it is
            asked for.
        kind: what is named, for errors: "rule".
        where: where the name stands, for errors: "arm GRPO". Default: the kind.

    Raises:
        UserError: an unknown name (the nearest known one is suggested), a module that cannot be imported (with its own
            error), or a module without that object.
    """
    if name in known:
        return _imported(known[name], kind, where or kind)
    if "." not in name and ":" not in name:
        raise unknown_name(kind, name, known, where or kind)
    return _imported(name, kind, where or kind)


def import_path(thing: Any) -> str:
    """The import path by which `resolve` finds a class or function again."""
    return f"{thing.__module__}.{thing.__qualname__}"


def _imported(path: str, kind: str, where: str) -> Any:
    module_name, _, attribute = path.replace(":", ".").rpartition(".")
    if not (module_name and attribute) or module_name.startswith("."):
        raise UserError(f"{where}: {path!r} is no import path. Write `module.object`, such as `my_module.my_{kind}`.")
    if str(Path.cwd()) not in sys.path:  # the command's own process does not search it
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = import_module(module_name)
    except Exception as error:  # whatever the user's own module raises belongs to the user
        raise UserError(
            f"{where}: the {kind} {path!r} cannot be imported: {type(error).__name__}: {error}. Modules are searched "
            f"for in the current directory ({Path.cwd()}) and on Python's path."
        ) from error
    if not hasattr(module, attribute):
        raise unknown_name(f"{kind} in module {module_name}", attribute, _public(module), where)
    return getattr(module, attribute)


def _public(module: Any) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")]
