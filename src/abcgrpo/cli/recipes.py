"""`abcgrpo recipes`: the experiments and recipes that travel with this package."""

import sys
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import typer

from abcgrpo.cli.app import Json, app, print_json, results
from abcgrpo.errors import UserError

recipes = typer.Typer(help="List, show or copy the shipped experiments and recipes.", no_args_is_help=True)
app.add_typer(recipes, name="recipes")

Name = Annotated[str, typer.Argument(help="As `abcgrpo recipes list` prints it: quickstart, qwen3-4b-base/paper-grpo.")]


@recipes.command("list")
def list_recipes(
    json: Json = False,
) -> None:
    """List what is shipped, with the command that takes each file and its purpose."""
    from rich.table import Table

    from abcgrpo.training.shipped import shipped_files

    found = shipped_files()
    if json:
        records = [
            {"name": name, "command": command_of(name), "purpose": purpose(path), "path": str(path)}
            for name, path in found.items()
        ]
        print_json(records)
        return
    table = Table("name", "command", "purpose", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for name, path in found.items():
        table.add_row(name, command_of(name), purpose(path))
    results().print(table)


@recipes.command()
def show(name: Name) -> None:
    """Print a shipped file, with its comments."""
    from abcgrpo.training.shipped import shipped_file

    sys.stdout.write(shipped_file(name).read_text(encoding="utf-8"))


@recipes.command()
def copy(
    name: Name,
    output: Annotated[Path | None, typer.Argument(help="The file to write. Default: its own name, in here.")] = None,
) -> None:
    """Copy a shipped file, so that you can change it. An existing file is never overwritten."""
    from abcgrpo.training.shipped import shipped_file

    source = shipped_file(name)
    target = output or Path(source.name)
    if target.is_dir():
        target = target / source.name
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(source.read_text(encoding="utf-8"))
    except FileExistsError as error:
        raise UserError(
            f"{target} exists already. Give another name: abcgrpo recipes copy {name} OTHER.yaml"
        ) from error
    except FileNotFoundError as error:
        raise UserError(f"The directory {target.parent} does not exist.") from error
    print(f"{target}: change it, then abcgrpo {command_of(name)} {target}")


def command_of(name: str) -> str:
    """The command that takes a shipped file: recipes stand in a model's folder, experiments at the top."""
    return "train" if "/" in name else "run"


def purpose(path: Path) -> str:
    """The first sentence of the comment at the top of a file; it ends before the command that the comment shows."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = takewhile(lambda line: line.startswith("# ") and not line.startswith("#   "), lines)
    return " ".join(line.removeprefix("# ") for line in comment).partition(". ")[0].rstrip(".") + "."
