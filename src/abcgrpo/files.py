"""Reading and writing the files that a run leaves: whole or not at all, and valid JSON only."""

import fcntl
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from abcgrpo.errors import UserError

SECRETS = ("token", "api_key", "apikey", "password", "secret")
"""How the names of settings end that hold secrets."""


def plain(value: Any) -> Any:
    """`value` as JSON has it: NaN is null, an infinite number is the word "inf" or "-inf"."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Path):
        return str(value)
    return value


def without_secrets(value: Any) -> Any:
    """`value` with what is named like a secret, at any depth, replaced by a word; None stays None."""
    if isinstance(value, dict):
        return {
            name: "<not kept>" if _is_secret(str(name)) and item is not None else without_secrets(item)
            for name, item in value.items()
        }
    return [without_secrets(item) for item in value] if isinstance(value, list | tuple) else value


def _is_secret(name: str) -> bool:
    return name.lower().endswith(SECRETS)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, which takes its place when the block ends without an error.

    A reader, or a crash, meets the old content or the new one and nothing between. Directories above are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: see `replaced`."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def locked(directory: Path, refusal: str) -> Iterator[None]:
    """Keep other processes out of a directory. The system lifts the lock when this one ends, however it does.

    Raises:
        UserError: another process is inside; the message is `refusal`.
    """
    with (directory / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(refusal) from None
        yield


def is_locked(directory: Path) -> bool:
    """Whether another process is inside `locked` of this directory."""
    path = directory / ".lock"
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def write_json(path: Path, value: Any) -> None:
    """Write `plain(value)` as indented JSON, atomically."""
    write_text(path, json.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """A JSON file's content.

    Raises:
        UserError: the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from error


def read_json_lines(path: Path) -> Iterator[dict]:
    """The objects of a JSONL file. A last line that a crash truncated is left out."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith("\n"):
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise UserError(f"{path}, line {number}, is not valid JSON: {error}.") from error


def json_line(value: Any) -> str:
    """One line of a JSONL file."""
    return json.dumps(plain(value), allow_nan=False, ensure_ascii=True) + "\n"


def parse_yaml(text: str, where: str) -> Any:
    """YAML 1.2: 1e-6 is a number, `no` is a word, a repeated key is an error.

    Raises:
        UserError: the text is something else.
    """
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise UserError(f"{where} cannot be read as YAML: {error}") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UserError: the file is missing, is not YAML, or holds something else.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text: {error}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} should hold `key: value` lines, but its content is {type(content).__name__}.")
    return content


def write_yaml(path: Path, value: dict[str, Any]) -> None:
    """Write a mapping as YAML, atomically, in the order of its keys."""
    yaml = YAML()
    yaml.default_flow_style = False
    text = StringIO()
    yaml.dump(plain(value), text)
    write_text(path, text.getvalue())
