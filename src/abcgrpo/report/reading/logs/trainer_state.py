"""`trainer_state.json` of Hugging Face trainers, whole or truncated."""

import json
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError

STATE = "trainer_state.json"


def state_lines(path: Path, text: str, problems: list[str]) -> list[dict[str, Any]]:
    """`log_history`; of a truncated file, the complete entries."""
    try:
        content = json.loads(text)
    except ValueError as error:
        history = _whole_entries(text)
        if not history:
            raise UserError(f"{path} is not valid JSON ({error}), and no logged step can be read from it.") from None
        problems.append(f"the file is truncated or damaged ({error}); {len(history)} logged entries could be read.")
    else:
        history = content.get("log_history") if isinstance(content, dict) else None
        if not isinstance(history, list):
            raise UserError(f"{path} has no log_history: it is not a {STATE} of a Hugging Face trainer.")
    return [entry for entry in history if isinstance(entry, dict) and "step" in entry]


def _whole_entries(text: str) -> list[Any]:
    """The entries of `log_history` up to the place where the text stops being JSON."""
    _, found, rest = text.partition('"log_history"')
    start = rest.find("[") + 1
    entries: list[Any] = []
    decoder = json.JSONDecoder()
    while found and start:
        while start < len(rest) and rest[start] in " \t\r\n,":
            start += 1
        try:
            entry, start = decoder.raw_decode(rest, start)
        except ValueError:
            break
        entries.append(entry)
    return entries
