"""Mistakes that a user can correct: the command line prints them as a paragraph, without a traceback."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class UserError(ValueError):
    """Something in a file, an option or an environment that the user can change; the message says what and how.

    The command line prints it as a paragraph and exits with code 2.
    """


def unknown_choice(option: str, value: object, known: Iterable[object]) -> UserError:
    """The error for an option with an unknown value, suggesting the nearest."""
    known = list(known)
    hint = _nearest(str(value), map(str, known))
    return UserError(
        " ".join(filter(None, [f"{option} is one of {', '.join(map(repr, known))}, not {value!r}.", hint]))
    )


def unknown_name(kind: str, name: str, known: Iterable[str], where: str) -> UserError:
    """The error for a name that nothing has, suggesting the nearest one that exists."""
    known = sorted(known)
    listed = f"Known: {', '.join(known)}." if len(known) <= 20 else "See the documentation for the names."
    return UserError(f"{where}: there is no {kind} {name!r}. {_nearest(name, known) or listed}")


def mistake_in_words(details: Mapping[str, Any]) -> str:
    """What pydantic found wrong with a value (an element of `ValidationError.errors()`), as the end of a sentence."""
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    return f"{details['msg'][0].lower()}{details['msg'][1:]}."


def _nearest(name: str, known: Iterable[str]) -> str:
    """A question for the nearest name; empty if none is near."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"Did you mean {found[0]!r}?" if found else ""
