"""Known names and import paths → objects: how rules, advantages, tasks and rewards are named everywhere."""

import math
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from abcgrpo.errors import UserError, unknown_name


def resolve(name: str, known: Mapping[str, str], kind: str, where: str | None = None) -> Any:
    """The object that `name` stands for.

    Args:
        name: a key of `known`, or the import path of your own object: `package.module.Object` or
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


class Named:
    """A dataclass that users choose by its name, and whose fields are its parameters."""

    name: ClassVar[str]
    """What it is called everywhere. One's own leaves it out, and is named by its import path."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "name" not in cls.__dict__:
            cls.name = import_path(cls)

    def parameters(self) -> dict[str, Any]:
        """The parameters by name, for JSON and YAML: infinity is the word "inf"."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.init}  # type: ignore[arg-type]
        return {name: "inf" if value == math.inf else value for name, value in values.items()}

    def to_dict(self) -> dict[str, Any]:
        """Name and parameters, never state: what `make` makes the same thing from."""
        return {"name": self.name, **self.parameters()}


Kind = TypeVar("Kind", bound=Named)


def make(
    given: Kind | str | Mapping[str, Any], known: Mapping[str, str], base: type[Kind], kind: str, where: str
) -> Kind:
    """What a user writes → the object.

    - `"grpo"`: a known name, with its defaults.
    - `{"name": "clip_higher", "high": 0.28}`: with parameters.
    - `"my_rules.Mine"` or `{"name": "my_rules.Mine", …}`: your own, by its import path.
    - an object of the wanted kind: itself.

    Args:
        given: one of these.
        known: see `resolve`.
        base: what the object's class is derived from.
        kind: what is named, for errors: "rule".
        where: where it stands, for errors: "arm GRPO".

    Raises:
        UserError: an unknown name or parameter (the nearest known one is suggested), a value that does not fit, or an
            import path that leads to no such thing.
    """
    if isinstance(given, base):
        return given
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise UserError(f"{where}: {kind}: give a name or a mapping with a `name`, got {given!r}.")
    name, parameters = given["name"], {key: value for key, value in given.items() if key != "name"}
    found = resolve(name, known, kind, where)
    if isinstance(found, base) and not parameters:
        return found
    if not (isinstance(found, type) and issubclass(found, base) and is_dataclass(found)):
        raise UserError(f"{where}: {name!r} is not a {kind}: it must be a dataclass derived from {import_path(base)}.")
    accepted = [field.name for field in fields(found) if field.init]
    for parameter in parameters:
        if parameter not in accepted:
            if not accepted:
                raise UserError(f"{where}: {kind} {name} has no parameters, got {parameter!r}.")
            raise unknown_name(f"parameter of {kind} {name}", parameter, accepted, where)
    try:
        return found(**parameters)
    except (ValueError, TypeError) as error:
        raise UserError(f"{where}: {kind} {name}: {error}") from error


def import_path(thing: Any) -> str:
    """The import path by which `resolve` finds a class or function again."""
    return f"{thing.__module__}.{thing.__qualname__}"


def _imported(path: str, kind: str, where: str) -> Any:
    module_name, _, attribute = path.replace(":", ".").rpartition(".")
    if not (module_name and attribute) or module_name.startswith("."):
        raise UserError(
            f"{where}: {path!r} is not an import path. Write `module.object`, such as `my_module.my_{kind}`."
        )
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
