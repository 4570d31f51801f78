"""`abcgrpo compare`: scores from anywhere, with the intervals, verdicts and page of a report."""

from pathlib import Path
from typing import Annotated

import typer

from abcgrpo.cli.app import Json, Quiet, app, refuse_json_and_quiet
from abcgrpo.cli.report import write_records
from abcgrpo.extras import require_extras


@app.command()
def compare(
    scores: Annotated[
        list[str],
        typer.Argument(
            metavar="SCORES...",
            help="CSV files with the columns arm, seed, question, and score or correct and n; or ARM:SEED=FILE with a "
            "log of inspect-ai (.json) or lighteval (.parquet).",
        ),
    ],
    output: Annotated[Path, typer.Option(help="Directory for report.html, .md, .tex, .json and the figures.")] = Path(
        "comparison"
    ),
    baseline: Annotated[
        str | None, typer.Option(help="The arm that the others are compared with. Default: the first one.")
    ] = None,
    pass_at_k: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="A k of Pass@k. Repeat the option for more. Default: powers of two up to the number of answers."
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare arms by scores from anywhere: the same intervals, verdicts, power and page as for our own runs.

    Runs of two arms with the same seed are a pair. Verdicts are on Avg@k and Pass@k with the largest k, or on the
    score itself if it is not always 0 or 1. Optional columns: benchmark; cluster, for questions that belong together.

    Example: [bold]abcgrpo compare scores.csv[/bold], or
    [bold]abcgrpo compare GRPO:0=a.json GRPO:1=b.json ABC:0=c.json ABC:1=d.json[/bold]
    """
    refuse_json_and_quiet(json, quiet)
    require_extras("abcgrpo compare", "report")
    from abcgrpo.report.reading.foreign_scores import load_scores

    write_records(load_scores(scores, baseline, pass_at_k or []), output, json=json, quiet=quiet)
