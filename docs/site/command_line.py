"""The page of the command line, from what `--help` says."""

import typer
from typer.cli import get_docs_for_click

from abcgrpo.cli import app


def files() -> dict[str, str]:
    """Path → Markdown of the page."""
    command = typer.main.get_command(app)
    context = typer.Context(command, obj={"TYPER_RICH_MARKUP_MODE": "rich"})
    text = get_docs_for_click(obj=command, ctx=context, name="abcgrpo", title="Command line")
    return {"reference/command-line.md": text}
