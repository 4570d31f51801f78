"""`abcgrpo status`: an experiment that runs, seen from another terminal."""

from pathlib import Path
from typing import Annotated

import typer

from abcgrpo.cli.app import Json, app, print_json, results


@app.command()
def status(
    directory: Annotated[Path, typer.Argument(help="The experiment's directory, such as runs/quickstart.")],
    json: Json = False,
) -> None:
    """Show the progress of an experiment: jobs, time left, first curves, and the messages of failed jobs.

    It only reads files. [bold]abcgrpo report DIRECTORY[/bold] writes a report of the finished jobs.
    """
    from abcgrpo.experiments.status import status as status_of
    from abcgrpo.experiments.status import terminal

    found = status_of(directory)
    if json:
        print_json(found)
        return
    for part in terminal(found):
        results().print(part, markup=False, highlight=False, soft_wrap=isinstance(part, str))
