"""`abcgrpo evaluate`: Avg@k and Pass@k of models."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from abcgrpo.cli.app import Json, Quiet, app, print_json, refuse_json_and_quiet, results
from abcgrpo.cli.fields import an_option_for_each_field
from abcgrpo.evaluation.options import EvaluationOptions
from abcgrpo.extras import require_extras
from abcgrpo.tasks.registry import DEFAULT


class ListOptions(TyperCommand):
    """A command whose option `--benchmarks` takes all words up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write `--benchmarks a b` as `--benchmarks a --benchmarks b`."""
        return super().parse_args(ctx, repeated_options(args, "--benchmarks"))


def repeated_options(arguments: list[str], option: str) -> list[str]:
    """`option a b` as `option a option b`, up to the next option."""
    spread: list[str] = []
    inside = False
    for argument in arguments:
        if argument.startswith("-"):
            inside = argument == option
            if not inside:
                spread.append(argument)
        else:
            spread += [option, argument] if inside else [argument]
    return spread


@app.command(cls=ListOptions)
@an_option_for_each_field(EvaluationOptions, "options")
def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Directories, ids of the Hugging Face hub, or names of shipped bases (docs/tasks.md). Put them first."
        ),
    ],
    benchmarks: Annotated[
        list[str],
        typer.Option(
            help="Published benchmarks such as aime24, tasks such as reasoning-gym/NAME or my_task.py, .jsonl or "
            ".parquet files."
        ),
    ] = [DEFAULT],  # noqa: B006
    task: Annotated[
        str | None, typer.Option(help="The task that grades files. Default: mathematics with a final answer in a box.")
    ] = None,
    reward_funcs: Annotated[
        str | None,
        typer.Option(
            help="Import paths of reward functions, separated by commas. The first one grades instead of the task."
        ),
    ] = None,
    checkpoints: Annotated[
        str | None, typer.Option(help="all or last: which checkpoints of the training runs among MODELS.")
    ] = None,
    output: Annotated[
        Path, typer.Option(help="Directory for the results. The samples go to MODEL/BENCHMARK in it.")
    ] = Path("evaluations"),
    data: Annotated[
        Path | None,
        typer.Option(help="Directory with copies of benchmarks, read instead of the hub. Default: $ABCGRPO_DATA."),
    ] = None,
    prompt_template: Annotated[
        str | None, typer.Option(help="Text of the prompt, with {problem} where the problem goes.")
    ] = None,
    prompt_form: Annotated[
        str | None, typer.Option(help="chat puts the prompt into the model's chat template, plain does not.")
    ] = None,
    *,
    options: EvaluationOptions,
    pass_at_k: Annotated[
        str, typer.Option(help="Estimator of Pass@k: unbiased, or first-k as in the released script of the paper.")
    ] = "unbiased",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Generate, grade and save answers of models, and print Avg@k and Pass@k with 95% intervals.

    Every task has sampling settings, which the options replace. Published benchmarks have those of the paper
    (temperature 0.6, top_p 0.95, top_k 20) with at most 4096 tokens. Answers that the output directory already holds
    are kept, so an interrupted evaluation continues. results.json, results.md and results.tex are written beside the
    samples.

    Example: [bold]abcgrpo evaluate my-model --benchmarks aime24 --samples 16[/bold]
    """
    refuse_json_and_quiet(json, quiet)
    require_extras("abcgrpo evaluate", "trl", *(["server"] if options.server else []))
    from abcgrpo.evaluation.evaluate import evaluate as evaluate_model
    from abcgrpo.evaluation.evaluate import sampling_of
    from abcgrpo.evaluation.models import named_models
    from abcgrpo.evaluation.results import Metrics, powers_of_two
    from abcgrpo.evaluation.results import results as all_results
    from abcgrpo.evaluation.samplers import LastSampler
    from abcgrpo.report.text.evaluation import terminal, write_results
    from abcgrpo.tasks import get_rewards, get_task
    from abcgrpo.tasks.benchmarks import load_benchmarks

    metrics = Metrics(options.samples, powers_of_two(options.samples), pass_at_k, options.seed)
    names = [name.strip() for name in reward_funcs.split(",")] if reward_funcs else []
    grader = get_task(task, "--task") if task else None
    loaded = load_benchmarks(benchmarks, data, options.questions, grader, get_rewards(names, "--reward-funcs"))
    named = named_models(models, checkpoints)
    templates = {}
    for benchmark in loaded:
        sampling_of(benchmark.task, options)
        template = templates[benchmark.name] = benchmark.task.template.changed(prompt_template, prompt_form)
        if not (json or quiet):
            print(
                f"{benchmark.name}: {len(benchmark.rows)} problems, {template.form} prompt {template.text!r}",
                flush=True,
            )
    evaluations: dict[str, dict[str, Any]] = {benchmark.name: {} for benchmark in loaded}
    opened = LastSampler()
    for label, model in named:
        for benchmark in loaded:
            directory = output / label / benchmark.name
            evaluations[benchmark.name][label] = evaluate_model(
                model, benchmark, options, directory, opened, templates[benchmark.name]
            )
    content = write_results(all_results(evaluations, metrics), output)
    if json:
        print_json(content)
    if json or quiet:
        return
    results().print(terminal(content))
    for note in content["notes"]:
        print(f"- {note}")
    print(f"Results: {output / 'results.md'}")
