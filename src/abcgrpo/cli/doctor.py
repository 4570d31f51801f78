"""`abcgrpo doctor`: whether an engine will find what it needs."""

import sys
from typing import Annotated

import typer

from abcgrpo.cli.app import app


@app.command()
def doctor(engine: Annotated[str, typer.Option(help="The engine to check: verl.")]) -> None:
    """Check an engine's environment before a run needs it.

    Prints versions, how the engine's processes find the policy loss, and each problem with its solution. The exit code
    is 1 if training would not work. Example: [bold]abcgrpo doctor --engine verl[/bold]
    """
    from abcgrpo.doctor import examine

    findings = examine(engine)
    for finding in findings:
        print(f"{finding.state:6}{finding.text}")
    if any(finding.state == "wrong" for finding in findings):
        sys.exit(1)
