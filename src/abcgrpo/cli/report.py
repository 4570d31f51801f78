"""`abcgrpo report`: tables, figures and a page from saved files and logs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from abcgrpo.cli.app import Json, Quiet, app, print_json, refuse_json_and_quiet, results
from abcgrpo.errors import UserError
from abcgrpo.extras import require_extras


@app.command()
def report(
    runs: Annotated[list[Path] | None, typer.Argument(help="Directories of experiments or of single runs.")] = None,
    output: Annotated[Path, typer.Option(help="Directory for report.html, .md, .tex, .json and the figures.")] = Path(
        "report"
    ),
    log: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH",
            help="A training log: trainer_state.json, TensorBoard event files or their directory, JSONL (verl's too), "
            "a history exported from W&B (CSV or JSON), or a run of abcgrpo train. "
            "The same NAME again adds another seed.",
        ),
    ] = None,
    level: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Also compare arms where they reach this Avg@k (0 to 1). Default: the highest multiple of 0.05 "
            "that every run reaches.",
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write tables, figures and a page from saved runs and training logs. Nothing is trained or sampled.

    Example: [bold]abcgrpo report --log GRPO=grpo/trainer_state.json --log ABC=abc/ --output report[/bold]
    """
    if not runs and not log:
        raise UserError("Nothing to report on: give directories of experiments or runs, or --log NAME=PATH.")
    refuse_json_and_quiet(json, quiet)
    require_extras("abcgrpo report", "report")
    write_report(runs or [], output, [named_path(each) for each in log or []], level, json=json, quiet=quiet)


def write_report(
    runs: list[Path],
    output: Path,
    logs: list[tuple[str, Path]] | None = None,
    level: float | None = None,
    *,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Write the report, print its table, and name its page."""
    from abcgrpo.report.reading.records import load

    records = load(runs, logs or [])
    records.level = level
    write_records(records, output, json=json, quiet=quiet)


def write_records(records: Any, output: Path, *, json: bool = False, quiet: bool = False) -> None:
    """Write the report of what was loaded, and print its table and the path of its page; or report.json, or nothing."""
    from abcgrpo.report.text.terminal import terminal_sentences, terminal_tables
    from abcgrpo.report.write import write

    summary = write(records, output)
    if json:
        print_json(summary)
    if json or quiet:
        return
    console = results()
    for table in terminal_tables(summary, console.width):
        console.print(table)
    for line in terminal_sentences(summary):
        print(f"- {line}")
    print(f"Report: {output / 'report.html'}")


def named_path(text: str) -> tuple[str, Path]:
    """`NAME=PATH` in its parts.

    Raises:
        UserError: one of them is missing.
    """
    name, equals, path = text.partition("=")
    if not (name.strip() and equals and path):
        raise UserError(f"--log {text!r} is not understood: write NAME=PATH, such as --log GRPO=runs/grpo.")
    return name.strip(), Path(path)
