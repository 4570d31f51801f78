"""The command line. Every command imports what it needs when it runs, so that `--help` answers at once."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.panel import Panel
from typer.core import TyperCommand

from abcgrpo.errors import UserError

app = typer.Typer(
    name="abcgrpo",
    help="Train language models with ABC-GRPO, and find out which clipping rule to trust.\n\n"
    "Start with: abcgrpo run quickstart",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

INTERRUPTED = (130, 143)
"""Exit codes after Ctrl-C and SIGTERM."""


def main() -> None:
    """Run a command. A mistake that the user can mend is a paragraph on standard error and exit code 2."""
    if "ABCGRPO_PROGRESS_FILE" in os.environ:  # started by `run`
        from abcgrpo.progress import end_with_parent

        end_with_parent()
    try:
        app()
    except UserError as error:
        if sys.stderr.isatty():
            panel = Panel(str(error), title="abcgrpo", border_style="red", highlight=False)
            Console(stderr=True).print(panel, markup=False)
        else:  # a log, of which an experiment quotes the last line
            print(f"abcgrpo: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as ended:
        if ended.code in INTERRUPTED:
            print("Interrupted. The same command goes on from here.", file=sys.stderr)
        raise


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Several processes: torchrun --nproc-per-node 8 -m abcgrpo train RECIPE.yaml",
)
def train(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="A YAML file, or a shipped recipe: qwen3-4b-base/paper-abc-grpo.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all but the weights, print what would be done, and stop.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="With --dry-run: what was found, as JSON.")] = None,
    num_problems: Annotated[int | None, typer.Option(help="Size of the training set.")] = None,
    num_processes: Annotated[int | None, typer.Option(help="Processes that the batch sizes are meant for.")] = None,
) -> None:
    """Train one model from a recipe.

    The keys are those of TRL's GRPOConfig (so TRL's documentation applies), the four thresholds eps_pos_high,
    eps_pos_low, eps_neg_high and eps_neg_low, and model_name_or_path, task, num_problems and reward_funcs. Any of them
    may be given again here, and wins: [bold]abcgrpo train recipe.yaml --learning_rate 1e-5 --eps_neg_high inf[/bold]

    A run that was cut short goes on, exactly, when the same command is given again. SIGTERM and Ctrl-C save first.
    """
    from abcgrpo.experiments.recipe import read_recipe
    from abcgrpo.experiments.shipped import recipe_path

    sizes = {"num_problems": num_problems, "num_processes": num_processes}
    given = {name: value for name, value in sizes.items() if value is not None} | field_options(context.args)
    chosen = read_recipe(recipe_path(recipe), given)
    is_first = os.environ.get("RANK", "0") == "0"
    if json is not None and not dry_run:
        raise UserError("--json has no effect without --dry-run: a run keeps its records in its directory.")
    if dry_run:
        from abcgrpo.experiments.dry_run import dry_run as try_recipe
        from abcgrpo.experiments.dry_run import terminal
        from abcgrpo.files import write_json

        found = try_recipe(chosen)
        if is_first:
            print(terminal(found))
        if is_first and json is not None:
            write_json(json, found)
        return
    from abcgrpo.experiments.training import train as train_recipe

    directory = train_recipe(chosen)
    if is_first:
        print(f"Trained: {directory}")


class ListOptions(TyperCommand):
    """A command whose option `--benchmarks` takes all words up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write `--benchmarks a b` as `--benchmarks a --benchmarks b`."""
        return super().parse_args(ctx, repeated_options(args, "--benchmarks"))


@app.command(cls=ListOptions)
def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(help="Directories or hub ids, before the options; countdown-base is the shipped base."),
    ],
    benchmarks: Annotated[
        list[str],
        typer.Option(help="aime24 aime25 amc23 hmmt202502 math500 countdown, or .jsonl and .parquet files."),
    ] = ["countdown"],  # noqa: B006
    samples: Annotated[int, typer.Option(min=1, help="Answers to each. More than the largest k is wise.")] = 64,
    checkpoints: Annotated[str | None, typer.Option(help="all or last: of training runs, given as MODELS.")] = None,
    output: Annotated[Path, typer.Option(help="Samples go to <model>/<benchmark> in here.")] = Path("evaluations"),
    questions: Annotated[
        int | None, typer.Option(min=1, help="The first so many. Default: all; 128 of countdown.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Copies of benchmarks, instead of the hub. Default: $ABCGRPO_DATA.")
    ] = None,
    sampler: Annotated[str, typer.Option(help="transformers or vllm.")] = "transformers",
    server: Annotated[str | None, typer.Option(help="URL with /v1 of a server with OpenAI's interface.")] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Answers under way at the server. Default: 32.")
    ] = None,
    retries: Annotated[int | None, typer.Option(min=0, help="Of a request to the server. Default: 5.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, help="0 takes the most likely token.")] = None,
    top_p: Annotated[float | None, typer.Option(min=0, max=1)] = None,
    top_k: Annotated[int | None, typer.Option(min=0, help="0 leaves every token in.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Length limit of an answer.")] = None,
    prompt_template: Annotated[str | None, typer.Option(help="Text around {problem}.")] = None,
    prompt_form: Annotated[str | None, typer.Option(help="chat or plain.")] = None,
    pass_at_k: Annotated[
        str, typer.Option(help="unbiased, or first-k as in the paper's released script.")
    ] = "unbiased",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Answers drawn and kept together.")] = None,
    seed: int = 0,
) -> None:
    """Draw, grade and keep answers of models, and print Avg@k and Pass@k with 95% intervals.

    Mathematics is sampled as in the paper (temperature 0.6, top_p 0.95, top_k 20) with at most 4096 tokens, countdown
    at temperature 1 with 48. What is in the output directory already is not drawn again, and an evaluation that was
    killed goes on. results.json, results.md and results.tex are written beside the samples.
    """
    from abcgrpo.evaluation.evaluate import Plan, default_sampling
    from abcgrpo.evaluation.evaluate import evaluate as evaluate_model
    from abcgrpo.evaluation.models import named_models
    from abcgrpo.evaluation.results import Metrics, powers_of_two
    from abcgrpo.evaluation.results import results as all_results
    from abcgrpo.evaluation.samplers import LastSampler
    from abcgrpo.report.evaluation import terminal, write_results
    from abcgrpo.tasks.benchmarks import load_benchmarks

    metrics = Metrics(samples, powers_of_two(samples), pass_at_k, seed)
    options = server_options(server, sampler, concurrency, retries)
    given = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "max_new_tokens": max_new_tokens}
    loaded = load_benchmarks(benchmarks, data, questions)
    named = named_models(models, checkpoints)
    plans = {}
    for benchmark in loaded:
        template = benchmark.task.template.changed(prompt_template, prompt_form)
        sampling = default_sampling(benchmark.task.name, given, seed)
        kind = "server" if server else sampler
        plans[benchmark.name] = Plan(sampling, samples, kind, options, batch_size, template)
        print(f"{benchmark.name}: {len(benchmark.rows)} problems, {template.form} prompt {template.text!r}", flush=True)
    evaluations: dict[str, dict[str, Any]] = {benchmark.name: {} for benchmark in loaded}
    opened = LastSampler()
    for label, model in named:
        for benchmark in loaded:
            directory = output / label / benchmark.name
            evaluations[benchmark.name][label] = evaluate_model(
                model, benchmark, plans[benchmark.name], directory, opened
            )
    content = write_results(all_results(evaluations, metrics), output)
    results().print(terminal(content))
    for note in content["notes"]:
        print(f"- {note}")
    print(f"Results: {output / 'results.md'}")


@app.command()
def grade(
    input: Annotated[Path, typer.Option(help="A JSONL file; each line has `gold` and `response`.")],
    output: Annotated[Path, typer.Option(help="Where the lines go, with `correct`, `answer` and `reason` added.")],
    fallback: Annotated[bool, typer.Option(help="Without a box, take what the response states as its answer.")] = False,
) -> None:
    """Grade answers to mathematical problems: one line out for each line in, in order, whatever the answers.

    Exit code 0 whatever the answers: hostile ones are cut off by limits on time and memory.
    """
    from abcgrpo.grading import grade_file

    try:
        reasons = grade_file(input, output, fallback=fallback)
    except (FileNotFoundError, ValueError) as error:
        raise UserError(str(error)) from error
    print(", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "no line")


@app.command()
def export(
    output: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
    task: Annotated[str | None, typer.Option(help="Training problems of countdown or mathematics.")] = None,
    benchmark: Annotated[str | None, typer.Option(help="Test problems: a benchmark's name, or a file.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Of the hub, or a .jsonl or .parquet file.")] = None,
    dataset_config: Annotated[str | None, typer.Option(help="The configuration of a data set of the hub.")] = None,
    skip_unusable_rows: Annotated[bool, typer.Option(help="Leave them out instead of refusing the data set.")] = False,
    data: Annotated[Path | None, typer.Option(help="Copies of benchmarks. Default: $ABCGRPO_DATA.")] = None,
    problems: Annotated[int | None, typer.Option(min=1, help="How many. Default: as in train and evaluate.")] = None,
    prompt_template: Annotated[str | None, typer.Option(help="Text around {problem}.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the draw of training problems. Default: 0.")] = None,
) -> None:
    """Write problems as the Parquet rows that verl trains on and validates with.

    The rows, their order and their prompts are those of [bold]train[/bold] and [bold]evaluate[/bold]. Example:
    [bold]abcgrpo export train.parquet --task mathematics --dataset open-r1/DAPO-Math-17k-Processed
    --dataset-config all[/bold]
    """
    from abcgrpo.tasks import TrainingData, get_task
    from abcgrpo.tasks.benchmarks import load_benchmark
    from abcgrpo.tasks.parquet import verl_rows, write_parquet

    if (task is None) == (benchmark is None):
        raise UserError("Give either --task, for training problems, or --benchmark, for test problems.")
    if benchmark is not None:
        of_training = {"--dataset": dataset, "--dataset-config": dataset_config, "--seed": seed}
        refuse_given(of_training | {"--skip-unusable-rows": skip_unusable_rows or None}, "--benchmark")
        loaded = load_benchmark(benchmark, data, problems)
        source, rows, template = loaded.name, loaded.rows, loaded.task.template
    else:
        refuse_given({"--data": data}, "--task")
        chosen = get_task(task or "")
        rows = chosen.training_rows(TrainingData(problems, seed or 0, dataset, dataset_config, skip_unusable_rows))
        source, template = chosen.name, chosen.template
    write_parquet(verl_rows(rows, template.changed(prompt_template), source), output)
    print(f"{output}: {len(rows)} problems of {source}")


def refuse_given(options: dict[str, Any], beside: str) -> None:
    """Refuse options that would have no effect beside another one.

    Raises:
        UserError: one of them was given.
    """
    for name, value in options.items():
        if value is not None:
            raise UserError(f"{name} has no effect with {beside}: leave it out.")


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped experiment: quickstart.")],
    output: Annotated[Path | None, typer.Option(help="Default: runs/ and the experiment's name.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Run nothing: say what the experiment will show, and what it cannot.")
    ] = False,
) -> None:
    """Run an experiment: the base, every arm with every seed, their evaluation, and a report with verdicts.

    What is finished is not done again, so the same command goes on after an interruption. An arm that fails does not
    stop the others; the exit code is then 1.
    """
    from abcgrpo.experiments.plan import cannot_conclude
    from abcgrpo.experiments.plan import plan as planned
    from abcgrpo.experiments.runner import ExperimentRunner
    from abcgrpo.experiments.specification import experiment_path, read_experiment

    directory = output or Path("runs") / experiment_path(experiment).stem
    runner = ExperimentRunner(read_experiment(experiment), directory)
    if plan:
        print("\n".join(planned(runner)))
        return
    if impossible := cannot_conclude(runner.experiment):
        print(impossible, file=sys.stderr, flush=True)
    failures = runner.run()
    if len(failures) == 0 or any((directory / "arms").glob("*/seed-*/evaluated.json")):
        write_report([directory], directory / "report")
    if failures:
        print(f"{len(failures)} of {len(runner.jobs)} jobs failed; the same command tries them again:", file=sys.stderr)
        for name, reason in failures.items():
            print(f"- {name}: {reason}", file=sys.stderr)
        sys.exit(1)


@app.command()
def report(
    runs: Annotated[list[Path] | None, typer.Argument(help="Directories of experiments or of single runs.")] = None,
    output: Annotated[Path, typer.Option(help="Where report.html, .md, .tex, .json and the figures go.")] = Path(
        "report"
    ),
    log: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH",
            help="A training log: trainer_state.json, TensorBoard event files or their directory, or a run of ours. "
            "Again with the same NAME for another seed.",
        ),
    ] = None,
) -> None:
    """Make the report from the files that runs have left, and from training logs. Nothing is trained or sampled."""
    if not runs and not log:
        raise UserError("Nothing to report on: give directories of experiments or runs, or --log NAME=PATH.")
    write_report(runs or [], output, [named_path(each) for each in log or []])


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


def write_report(runs: list[Path], output: Path, logs: list[tuple[str, Path]] | None = None) -> None:
    """Write the report, print its table, and name its page."""
    from abcgrpo.report import load, write
    from abcgrpo.report.document import terminal_comparisons
    from abcgrpo.report.tables import terminal_table

    records = load(runs, logs or [])
    summary = write(records, output, rule_curves_of(records))
    results().print(terminal_table(summary))
    if comparisons := terminal_comparisons(summary):
        results().print(comparisons)
    for line in [*summary["verdict"], *(f"Missing: {each}" for each in summary["missing"])]:
        print(f"- {line}")
    print(f"Report: {output / 'report.html'}")


def rule_curves_of(records: Any) -> dict[str, Any]:
    """The curves of the arms' rules, computed with the objective. Loads torch, where there is a rule to draw."""
    from abcgrpo.report.runs import boundaries_of

    thresholds = {arm: found for arm, runs in records.by_arm.items() if (found := boundaries_of(runs))}
    if not thresholds:
        return {}
    from abcgrpo.boundaries import Boundaries
    from abcgrpo.curves import rule_curves

    rules = {arm: {name: float(value) for name, value in found.items()} for arm, found in thresholds.items()}
    return rule_curves({arm: Boundaries(**values) for arm, values in rules.items()})


def named_path(text: str) -> tuple[str, Path]:
    """`NAME=PATH` in its parts.

    Raises:
        UserError: one of them is missing.
    """
    name, equals, path = text.partition("=")
    if not (name.strip() and equals and path):
        raise UserError(f"--log {text!r} is not understood: write NAME=PATH, such as --log GRPO=runs/grpo.")
    return name.strip(), Path(path)


def results() -> Console:
    """Standard output. In a file or a pipe there is no width to fit into, so tables take what they need."""
    return Console(width=None if sys.stdout.isatty() else 200)


def server_options(url: str | None, sampler: str, concurrency: int | None, retries: int | None) -> dict[str, str | int]:
    """The options of a server's sampler.

    Raises:
        UserError: options of a server without one, or a server beside another sampler.
    """
    given = {"concurrency": concurrency, "retries": retries}
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


def read_value(text: str, where: str) -> Any:
    """An option's value: a list or mapping as YAML has it (`[a, b]`, `{a: 1}`), anything else as it is."""
    from abcgrpo.files import parse_yaml

    return parse_yaml(text, where) if text[:1] in ("[", "{") else text


def field_options(arguments: list[str]) -> dict[str, Any]:
    """`--field value` and `--field=value` pairs.

    Raises:
        UserError: something else among them.
    """
    values: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        option = rest.pop(0)
        name, equals, value = option.removeprefix("--").partition("=")
        if not option.startswith("--") or not name:
            raise UserError(
                f"{option!r} is not understood: after the recipe come pairs such as `--learning_rate 1e-5`."
            )
        if not equals:
            if not rest:
                raise UserError(f"--{name} has no value: write `--{name} VALUE`.")
            value = rest.pop(0)
        values[name.replace("-", "_")] = read_value(value, f"--{name}")
    return values
