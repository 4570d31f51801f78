"""`abcgrpo export`: problems as verl reads them."""

from pathlib import Path
from typing import Annotated

import typer

from abcgrpo.cli.app import app, refuse_given
from abcgrpo.errors import UserError
from abcgrpo.extras import require_modules


@app.command()
def export(
    output: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
    task: Annotated[
        str | None, typer.Option(help="Training problems of a task: a name, reasoning-gym/NAME, my_task.py.")
    ] = None,
    benchmark: Annotated[str | None, typer.Option(help="Test problems: a benchmark's name, or a file.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="A data set of the Hugging Face hub, or a .jsonl or .parquet file.")
    ] = None,
    dataset_config: Annotated[str | None, typer.Option(help="The configuration of a data set of the hub.")] = None,
    skip_unusable_rows: Annotated[
        bool,
        typer.Option(
            "--skip-unusable-rows", help="Leave out rows that cannot be used, instead of ending with an error."
        ),
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Directory with copies of benchmarks. Default: $ABCGRPO_DATA.")
    ] = None,
    problems: Annotated[
        int | None, typer.Option(min=1, help="Number of problems. Default: as in train and evaluate.")
    ] = None,
    prompt_template: Annotated[
        str | None, typer.Option(help="Text of the prompt, with {problem} where the problem goes.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed that chooses the training problems. Default: 0.")] = None,
) -> None:
    """Write problems as the Parquet rows that verl trains on and validates with.

    The rows, their order and their prompts are those of [bold]train[/bold] and [bold]evaluate[/bold]. Example:
    [bold]abcgrpo export train.parquet --task my_task.py --dataset problems.jsonl[/bold]
    """
    require_modules("abcgrpo export", ["pyarrow", "sympy"], "trl")
    from abcgrpo.tasks import TrainingData, get_task
    from abcgrpo.tasks.benchmarks import load_benchmark
    from abcgrpo.tasks.parquet import verl_rows, write_parquet

    if (task is None) == (benchmark is None):
        raise UserError("Give either --task, for training problems, or --benchmark, for test problems.")
    if benchmark is not None:
        of_training = {"--dataset": dataset, "--dataset-config": dataset_config, "--seed": seed}
        refuse_given(of_training | {"--skip-unusable-rows": skip_unusable_rows or None}, "--benchmark")
        loaded = load_benchmark(benchmark, data, problems)
        chosen, source, rows = loaded.task, loaded.name, loaded.rows
    else:
        refuse_given({"--data": data}, "--task")
        chosen = get_task(task or "")
        rows = chosen.training_rows(TrainingData(problems, seed or 0, dataset, dataset_config, skip_unusable_rows))
        source = chosen.name
    write_parquet(verl_rows(rows, chosen.template.changed(prompt_template), chosen, source), output)
    print(f"{output}: {len(rows)} problems of {source}")
