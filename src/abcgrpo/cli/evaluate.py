"""`abcgrpo evaluate`: Avg@k and Pass@k of models."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from abcgrpo.cli.app import Json, Quiet, app, print_json, refuse_json_and_quiet, results
from abcgrpo.errors import UserError
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
    samples: Annotated[
        int, typer.Option(min=1, help="Answers per problem. Take more than the largest k of Pass@k.")
    ] = 64,
    checkpoints: Annotated[
        str | None, typer.Option(help="all or last: which checkpoints of the training runs among MODELS.")
    ] = None,
    output: Annotated[
        Path, typer.Option(help="Directory for the results. The samples go to MODEL/BENCHMARK in it.")
    ] = Path("evaluations"),
    questions: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of problems, from the first. Default: all problems of a file, 128 of a generator."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Directory with copies of benchmarks, read instead of the hub. Default: $ABCGRPO_DATA."),
    ] = None,
    sampler: Annotated[
        str, typer.Option(help="Library that generates the answers: transformers or vllm.")
    ] = "transformers",
    server: Annotated[
        str | None,
        typer.Option(help="URL of a server with OpenAI's interface, ending in /v1. It then generates the answers."),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Requests to the server at the same time. Default: 32.")
    ] = None,
    retries: Annotated[
        int | None,
        typer.Option(min=0, help="Number of times that a failed request to the server is repeated. Default: 5."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Seconds until a request to the server fails. Default: a quarter second per token, at least 600.",
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(min=0, help="Sampling temperature. 0 takes the most likely token. Default: as the task says."),
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(min=0, max=1, help="Sample from the most likely tokens with this total probability.")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=0, help="Sample from this number of most likely tokens. 0: from all tokens.")
    ] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Maximum number of tokens per answer.")] = None,
    prompt_template: Annotated[
        str | None, typer.Option(help="Text of the prompt, with {problem} where the problem goes.")
    ] = None,
    prompt_form: Annotated[
        str | None, typer.Option(help="chat puts the prompt into the model's chat template, plain does not.")
    ] = None,
    pass_at_k: Annotated[
        str, typer.Option(help="Estimator of Pass@k: unbiased, or first-k as in the released script of the paper.")
    ] = "unbiased",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Answers that are generated and saved together.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
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
    require_extras("abcgrpo evaluate", "trl", *(["server"] if server else []))
    from abcgrpo.evaluation.evaluate import Plan, default_sampling
    from abcgrpo.evaluation.evaluate import evaluate as evaluate_model
    from abcgrpo.evaluation.models import named_models
    from abcgrpo.evaluation.results import Metrics, powers_of_two
    from abcgrpo.evaluation.results import results as all_results
    from abcgrpo.evaluation.samplers import LastSampler
    from abcgrpo.report.text.evaluation import terminal, write_results
    from abcgrpo.tasks import get_rewards, get_task
    from abcgrpo.tasks.benchmarks import load_benchmarks

    metrics = Metrics(samples, powers_of_two(samples), pass_at_k, seed)
    options = server_options(server, sampler, {"concurrency": concurrency, "retries": retries, "timeout": timeout})
    given = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "max_new_tokens": max_new_tokens}
    names = [name.strip() for name in reward_funcs.split(",")] if reward_funcs else []
    grader = get_task(task, "--task") if task else None
    loaded = load_benchmarks(benchmarks, data, questions, grader, get_rewards(names, "--reward-funcs"))
    named = named_models(models, checkpoints)
    plans = {}
    for benchmark in loaded:
        template = benchmark.task.template.changed(prompt_template, prompt_form)
        sampling = default_sampling(benchmark.task, given, seed)
        kind = "server" if server else sampler
        plans[benchmark.name] = Plan(sampling, samples, kind, options, batch_size, template)
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
                model, benchmark, plans[benchmark.name], directory, opened
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


def server_options(url: str | None, sampler: str, given: dict[str, float | None]) -> dict[str, str | float]:
    """The options of a server's sampler.

    Raises:
        UserError: options of a server without one, or a server beside another sampler.
    """
    options = {name: value for name, value in given.items() if value is not None}
    if url is None:
        for name in options:
            raise UserError(f"--{name} has no effect without --server URL.")
        if sampler == "server":
            raise UserError("--sampler server needs its URL: --server http://…/v1")
        return {}
    if sampler not in ("transformers", "server"):
        raise UserError(f"--server samples from a server, --sampler {sampler} in this process: give one of them.")
    return {"url": url} | options
