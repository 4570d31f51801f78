"""Which models are meant by names on a command line, and what each is called in tables and directories."""

from pathlib import Path
from typing import NamedTuple

from abcgrpo.errors import UserError, unknown_name
from abcgrpo.evaluation.adapters import is_adapter
from abcgrpo.run_files import checkpoints_in

CHECKPOINTS = ("all", "last")


class Named(NamedTuple):
    """A model to be measured."""

    label: str
    """Name in tables, and of the directory of its samples."""
    model: str
    """A directory, a hub id, or what a server calls it."""


def named_models(models: list[str], checkpoints: str | None = None) -> list[Named]:
    """Each model by the last part of its name; with `checkpoints`, those of training runs instead.

    Args:
        models: directories, hub ids, or with `checkpoints` directories of training runs.
        checkpoints: `all` or `last`.

    Raises:
        UserError: a directory of checkpoints where a model is wanted, or the reverse; two models of one name.
    """
    if checkpoints is not None and checkpoints not in CHECKPOINTS:
        raise unknown_name("choice", checkpoints, CHECKPOINTS, "checkpoints")
    named: list[Named] = []
    for model in models:
        found = checkpoints_in(Path(model))
        label = model.rstrip("/").rpartition("/")[2] if "/" in model else model
        if checkpoints:
            if not found:
                raise UserError(
                    f"{model} holds no checkpoint-<step> directory, so --checkpoints {checkpoints} has no effect."
                )
            chosen = found if checkpoints == "all" else found[-1:]
            named += [Named(f"{label}/{path.name}", str(path)) for path in chosen]
        elif found and not (is_adapter(model) or (Path(model) / "config.json").exists()):
            raise UserError(f"{model} is a training run with {len(found)} checkpoints: add --checkpoints all, or last.")
        else:
            named.append(Named(label, model))
    labels = [each.label for each in named]
    if repeated := sorted({label for label in labels if labels.count(label) > 1}):
        raise UserError(f"Two models have the same name ({', '.join(repeated)}): give each its own --output.")
    return named
