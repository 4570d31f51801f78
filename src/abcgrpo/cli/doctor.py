"""`abcgrpo doctor`: whether an engine will find what it needs."""

import sys
from typing import Annotated

import typer

from abcgrpo.cli.app import app


@app.command()
def doctor(engine: Annotated[str, typer.Option(help="verl.")]) -> None:
    """Check that an engine will find what this package gives it, before a run does.

    Prints versions, the routes by which the engine's processes find the policy loss, and what is wrong with what to do
    about it. Exit code 1 where training would not work.
    """
    from abcgrpo.doctor import examine

    findings = examine(engine)
    for finding in findings:
        print(f"{finding.state:6}{finding.text}")
    if any(finding.state == "wrong" for finding in findings):
        sys.exit(1)
