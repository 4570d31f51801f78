"""From what a user writes after `task:` to the task. No module outside `abcgrpo.tasks` knows a task by name."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.named import resolve
from abcgrpo.tasks.own import module_of_file, task_from
from abcgrpo.tasks.scores import Reward
from abcgrpo.tasks.task import Task

TASKS = {
    "countdown": "abcgrpo.tasks.countdown:TASK",
    "base-conversion": "abcgrpo.tasks.base_conversion:TASK",
    "maze": "abcgrpo.tasks.maze:TASK",
    "mathematics": "abcgrpo.tasks.mathematics:TASK",
}
"""Name → import path. A task of your own needs no line here."""

FAMILIES = {"reasoning-gym": "abcgrpo.tasks.reasoning_gym:task"}
"""Prefix → import path of a function (name, **parameters) → Task, for names such as `reasoning-gym/NAME`."""

DEFAULT = "countdown"
"""The task of recipes and commands that name none."""
MATHEMATICS = "mathematics"
"""What grades a file, or a row of somebody else's, that names no task."""

Spec = str | dict[str, Any]
"""What a user writes: a name, or a mapping with a `name` and parameters."""


def get_task(given: Task | str | Mapping[str, Any], where: str = "task") -> Task:
    """The task that is meant.

    - `"countdown"`: a known name.
    - `"reasoning-gym/chain_sum"`, or `{"name": "reasoning-gym/chain_sum", "min_terms": 2}` with its configuration.
    - `"my_task.py"`: a file with a `grade`, see `abcgrpo.tasks.own`.
    - `"my_tasks.Mine"` or `"my_tasks:Mine"`: an import path, to a `Task` or to anything that such a file may hold.
    - a `Task`: itself.

    Text that begins with a brace is read as YAML, so that a command line can say what a file can.

    Raises:
        UserError: an unknown name (the nearest known one is suggested), a file or import path that leads to no task, or
            parameters that it does not take.
    """
    if isinstance(given, Task):
        return given
    name, parameters = parts(given, where)
    spec = spec_text(given)
    family, slash, member = name.partition("/")
    if slash and family in FAMILIES:
        return resolve(family, FAMILIES, "task", where)(member, spec=spec, where=where, **parameters)
    if name.endswith(".py"):
        path = Path(name).expanduser().resolve()
        spec = spec_text({"name": str(path)} | parameters)
        return task_from(module_of_file(path, where), path.stem, spec, parameters, where)
    if name in TASKS and not parameters:
        return resolve(name, TASKS, "task", where)
    known = TASKS if ":" in name or "." in name else TASKS | FAMILIES
    thing = resolve(name, known, "task", where)
    if name in FAMILIES:
        raise UserError(f"{where}: {name} has many tasks: write {name}/NAME.")
    return task_from(thing, name.replace(":", ".").rpartition(".")[2], spec, parameters, where)


def get_rewards(names: Sequence[str], where: str = "reward_funcs") -> list[Reward]:
    """Rewards in TRL's signature by their import paths, `module.function` or `module:function`.

    Raises:
        UserError: one that cannot be imported, or that is no function.
    """
    found = []
    for name in names:
        reward = resolve(name, {}, "reward", where)
        if not callable(reward):
            raise UserError(f"{where}: {name!r} is {type(reward).__name__}, not a function.")
        found.append(reward)
    return found


def spec_text(given: Task | str | Mapping[str, Any]) -> str:
    """What `get_task` was given, as text that it understands: for command lines and files."""
    if isinstance(given, Task):
        return given.found_by
    if isinstance(given, str):
        return given
    return str(given["name"]) if list(given) == ["name"] else json.dumps(dict(given))


def parts(given: str | Mapping[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    """The name and the parameters of what `get_task` is given.

    Raises:
        UserError: neither a name nor a mapping with one.
    """
    if isinstance(given, str) and given.startswith("{"):
        from abcgrpo.files import parse_yaml

        given = parse_yaml(given, where)
    if isinstance(given, str):
        return given, {}
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise UserError(f"{where}: a task is a name or a mapping with a `name`, got {given!r}.")
    return given["name"], {key: value for key, value in given.items() if key != "name"}
