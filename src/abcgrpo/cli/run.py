"""`abcgrpo run`: an experiment."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from abcgrpo.cli.app import app
from abcgrpo.cli.report import write_report
from abcgrpo.errors import UserError
from abcgrpo.extras import require_extras


@app.command()
def run(
    experiment: Annotated[
        str, typer.Argument(help="A YAML file, or a shipped experiment such as quickstart (see abcgrpo recipes list).")
    ],
    output: Annotated[Path | None, typer.Option(help="Directory for all results. Default: runs/NAME.")] = None,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="ray[:ADDRESS]",
            help="Run the jobs on a Ray cluster: the one on this machine, or the one at ADDRESS.",
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Run nothing. Print the runs, and which differences they could detect.")
    ] = False,
) -> None:
    """Run an experiment: the base, every arm with every seed, their evaluation, and a report with verdicts.

    What is finished is not done again, so the same command goes on after an interruption. Arms, conditions, seeds,
    questions and samples may be added to the file afterwards: what is new is run. An arm that fails does not stop the
    others; the exit code is then 1. Another terminal sees it with [bold]abcgrpo status[/bold].
    """
    require_extras("abcgrpo run", "trl", "report", *(["ray"] if on else []))
    address = ray_address(on)
    from abcgrpo.experiments.checks import check_experiment
    from abcgrpo.experiments.jobs.runner import ExperimentRunner
    from abcgrpo.experiments.plan import cannot_conclude
    from abcgrpo.experiments.plan import plan as planned
    from abcgrpo.experiments.specification import experiment_path, read_experiment

    directory = output or Path("runs") / experiment_path(experiment).stem
    runner = ExperimentRunner(read_experiment(experiment), directory)
    obstacles = check_experiment(runner.experiment)
    for change in runner.changes:
        print(f"The runs in {directory} began with other settings: {change}.", file=sys.stderr, flush=True)
    if plan:
        print("\n".join([*planned(runner), *(f"CANNOT RUN HERE YET. {each}" for each in obstacles)]))
        return
    if obstacles:
        raise UserError("\n".join(obstacles))
    if impossible := cannot_conclude(runner.experiment):
        print(impossible, file=sys.stderr, flush=True)
    failures = runner.run(address)
    if not failures or runner.durations():
        write_report([directory], directory / "report")
    if failures:
        print(f"{len(failures)} of {len(runner.jobs)} jobs failed; the same command tries them again:", file=sys.stderr)
        for name, reason in failures.items():
            print(f"- {name}: {reason}", file=sys.stderr)
        sys.exit(1)


def ray_address(on: str | None) -> str | None:
    """The address in `ray` or `ray:ADDRESS`; `auto` stands for the cluster that runs here.

    Raises:
        UserError: it is something else.
    """
    if on is None:
        return None
    engine, _, address = on.partition(":")
    if engine != "ray":
        raise UserError(
            f"--on {on!r} is not understood: write --on ray, or --on ray:ADDRESS such as ray:10.0.0.1:6379."
        )
    return address or "auto"
