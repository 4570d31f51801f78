"""`abcgrpo grade`: answers in a file."""

from pathlib import Path
from typing import Annotated

import typer

from abcgrpo.cli.app import app
from abcgrpo.errors import UserError
from abcgrpo.extras import require_extras


@app.command()
def grade(
    input: Annotated[Path, typer.Option(help="A JSONL file; each line has `gold` and `response`.")],
    output: Annotated[
        Path, typer.Option(help="The JSONL file to write: the same lines with `correct`, `answer` and `reason`.")
    ],
    fallback: Annotated[
        bool, typer.Option(help="If a response has no box, take the answer that it states in words.")
    ] = False,
) -> None:
    """Grade answers to mathematical problems: one output line for each input line, in the same order.

    Wrong and hostile answers do not change the exit code, 0: limits on time and memory stop them.

    Example: [bold]abcgrpo grade --input answers.jsonl --output graded.jsonl[/bold]
    """
    require_extras("abcgrpo grade", "grading")
    from abcgrpo.grading import grade_file

    try:
        reasons = grade_file(input, output, fallback=fallback)
    except (FileNotFoundError, ValueError) as error:
        raise UserError(str(error)) from error
    print(", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "no line")
