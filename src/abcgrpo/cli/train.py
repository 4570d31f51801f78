"""`abcgrpo train`: one model from a recipe."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from abcgrpo.cli.app import app
from abcgrpo.errors import UserError
from abcgrpo.extras import require_extras


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Several processes: torchrun --nproc-per-node 8 -m abcgrpo train RECIPE.yaml",
)
def train(
    context: typer.Context,
    recipe: Annotated[
        str,
        typer.Argument(
            help="A YAML file, or a shipped recipe such as qwen3-4b-base/paper-abc-grpo (see abcgrpo recipes list)."
        ),
    ],
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the recipe without loading weights, print batches and memory, and stop."),
    ] = False,
    json: Annotated[
        Path | None, typer.Option(help="With --dry-run: a file to which the same is written as JSON.")
    ] = None,
    num_problems: Annotated[
        int | None, typer.Option(help="Number of training problems. Default: as the recipe says.")
    ] = None,
    num_processes: Annotated[
        int | None, typer.Option(help="Number of processes that the batch sizes are meant for.")
    ] = None,
) -> None:
    """Train one model from a recipe.

    The keys are those of TRL's GRPOConfig and of its LoRA, use_peft and lora_… (so TRL's documentation applies), the
    clipping rule, and model_name_or_path, task, num_problems and reward_funcs. An option given here replaces the
    recipe's: [bold]abcgrpo train recipe.yaml --learning_rate 1e-5 --rule '{name: clip_higher, high: 0.28}'[/bold]. The
    thresholds eps_pos_high, eps_pos_low, eps_neg_high and eps_neg_low are short for the rule abc_grpo with these.

    An interrupted run resumes exactly when the same command is given again. SIGTERM and Ctrl-C save a checkpoint first.
    """
    require_extras("abcgrpo train", "trl")
    from abcgrpo.training.recipe import read_recipe
    from abcgrpo.training.shipped import recipe_path

    sizes = {"num_problems": num_problems, "num_processes": num_processes}
    given = {name: value for name, value in sizes.items() if value is not None} | field_options(context.args)
    chosen = read_recipe(recipe_path(recipe), given)
    is_first = os.environ.get("RANK", "0") == "0"
    if json is not None and not dry_run:
        raise UserError("--json has no effect without --dry-run: a run keeps its records in its directory.")
    if dry_run:
        from abcgrpo.files import write_json
        from abcgrpo.training.dry_run import dry_run as try_recipe
        from abcgrpo.training.dry_run import terminal

        found = try_recipe(chosen)
        if is_first:
            print(terminal(found))
        if is_first and json is not None:
            write_json(json, found)
        return
    from abcgrpo.training.run import train as train_recipe

    directory = train_recipe(chosen)
    if is_first:
        print(f"Trained: {directory}")


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


def read_value(text: str, where: str) -> Any:
    """An option's value: a list or mapping as YAML has it (`[a, b]`, `{a: 1}`), anything else as it is."""
    from abcgrpo.files import parse_yaml

    return parse_yaml(text, where) if text[:1] in ("[", "{") else text
