"""The application that every command registers with, and what commands share."""

import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from abcgrpo.errors import UserError

app = typer.Typer(
    name="abcgrpo",
    help="Train language models with ABC-GRPO, and find out which clipping rule to trust.\n\n"
    "Start with: abcgrpo run quickstart",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"abcgrpo {version('abcgrpo')}")
        raise typer.Exit


@app.callback()
def options_of_every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Register the options that stand before a command's name."""


def results() -> Console:
    """Standard output. In a file or a pipe there is no width to fit into, so tables take what they need."""
    return Console(width=None if sys.stdout.isatty() else 200)


Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output instead of text.")]
"""The option of commands whose output scripts read."""
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors. The files are written.")]
"""The option of commands that write files."""


def refuse_json_and_quiet(json: bool, quiet: bool) -> None:
    """Refuse two options that contradict each other.

    Raises:
        UserError: both are given.
    """
    if json:
        refuse_given({"--quiet": quiet or None}, "--json")


def print_json(content: Any) -> None:
    """Print a value as JSON: numbers that are not finite become null."""
    from json import dumps

    from abcgrpo.files import plain

    print(dumps(plain(content), indent=2, ensure_ascii=False))


def refuse_given(options: dict[str, Any], beside: str) -> None:
    """Refuse options that would have no effect beside another one.

    Raises:
        UserError: one of them was given.
    """
    for name, value in options.items():
        if value is not None:
            raise UserError(f"{name} has no effect with {beside}: leave it out.")
