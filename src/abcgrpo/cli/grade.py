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
    output: Annotated[Path, typer.Option(help="Where the lines go, with `correct`, `answer` and `reason` added.")],
    fallback: Annotated[bool, typer.Option(help="Without a box, take what the response states as its answer.")] = False,
) -> None:
    """Grade answers to mathematical problems: one line out for each line in, in order, whatever the answers.

    Exit code 0 whatever the answers: hostile ones are cut off by limits on time and memory.
    """
    require_extras("abcgrpo grade", "grading")
    from abcgrpo.grading import grade_file

    try:
        reasons = grade_file(input, output, fallback=fallback)
    except (FileNotFoundError, ValueError) as error:
        raise UserError(str(error)) from error
    print(", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "no line")
