"""Mistakes that a user can correct: the command line prints them as a paragraph, without a traceback."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something in a file, an option or an environment that the user can change; the message says what and how.

    The command line prints it as a paragraph and exits with code 2.
    """


def unknown_choice(option: str, value: object, known: Iterable[object]) -> UserError:
    """The error for an option whose value is none of those that it has, suggesting the nearest."""
    known = list(known)
    nearest = difflib.get_close_matches(str(value), map(str, known), n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return UserError(f"{option} is one of {', '.join(map(repr, known))}, not {value!r}.{hint}")


def unknown_name(kind: str, name: str, known: Iterable[str], where: str) -> UserError:
    """The error for a name that nothing has, suggesting the nearest one that exists."""
    known = sorted(known)
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if nearest:
        hint = f"Did you mean {nearest[0]!r}?"
    else:
        hint = f"Known: {', '.join(known)}." if len(known) <= 20 else "See the documentation for the names there are."
    return UserError(f"{where}: there is no {kind} {name!r}. {hint}")
