"""Directories of checkpoints: written whole or not at all, found again, compared with the run that would resume.

A checkpoint that a run can resume from holds `resume.json`, which says of which run it is, besides the host's files and
those of `abcgrpo.trl.resume`. It is written under another name and renamed when it is complete, so a directory named
`checkpoint-<step>` is never half of one.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from abcgrpo.errors import UserError
from abcgrpo.files import plain
from abcgrpo.run_files import checkpoints_in, step_of

HostSave = Callable[[Any, Any], None]
"""The host's own `_save_checkpoint(model, trial)`."""

ROLLING = "resume"
"""Folder of a run's directory for the state that replaces the one before it."""
STAGING = ".incomplete"
"""Folder for what is being written."""
DESCRIPTION = "resume.json"
_TORCH_CANNOT_WRITE = ("PytorchStreamWriter", "inline_container", "iostream error")
"""What torch.save's errors name: they carry no error number."""


def newest_complete(output_dir: Path) -> Path | None:
    """The checkpoint of the highest step that a run in this directory can resume from; None without one."""
    found = [*checkpoints_in(output_dir), *checkpoints_in(output_dir / ROLLING)]
    return max(filter(is_described, found), key=step_of, default=None)


def describe(
    checkpoint: Path, configuration: dict[str, Any], versions: dict[str, str], continued_from: list[dict[str, Any]]
) -> None:
    """Write down what run a checkpoint is of, and which other runs it went on from."""
    content = plain({"configuration": configuration, "versions": versions, "continued_from": continued_from})
    (checkpoint / DESCRIPTION).write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def is_described(checkpoint: Path) -> bool:
    """Whether `describe` was called for it."""
    return (checkpoint / DESCRIPTION).exists()


def read_description(checkpoint: Path) -> dict[str, Any]:
    """What `describe` wrote.

    Raises:
        UserError: the directory is no checkpoint that a run can resume from.
    """
    try:
        return json.loads((checkpoint / DESCRIPTION).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{checkpoint} cannot be resumed from: it has no {DESCRIPTION}, so it holds a model but not the state of "
            f"its run (save_only_model), or it was written by another trainer. To start a new run from its weights, "
            f"give it as the model; to resume from a checkpoint of TRL's own trainer, set resume_as_another_run."
        ) from None


def clear_staging(folder: Path) -> None:
    """Remove what a crash left half written."""
    shutil.rmtree(folder / STAGING, ignore_errors=True)


def publish(folder: Path, name: str) -> None:
    """Give the finished checkpoint in `folder`'s staging its place, in one step. Its content is on the disk by then."""
    staged, final = folder / STAGING / name, folder / name
    for path in [*staged.rglob("*"), staged]:
        _flush(path)
    if final.exists():  # of a run that was resumed from before this step
        final.rename(folder / STAGING / f"replaced-{name}")
    staged.rename(final)
    _flush(folder)
    shutil.rmtree(folder / STAGING, ignore_errors=True)


def keep_only(folder: Path, name: str) -> None:
    """Remove all checkpoints of a folder but one."""
    for path in checkpoints_in(folder):
        if path.name != name:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def explained_failure(folder: Path, step: int, last: Path | None) -> Iterator[None]:
    """Turn the many ways in which a write fails into one paragraph.

    Raises:
        UserError: the disk is full, a quota is used up, or the directory cannot be written to.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(name in str(error) for name in _TORCH_CANNOT_WRITE):
            raise
        clear_staging(folder)
        kept = f"The last complete one is {last}" if last else "There is no earlier one"
        raise UserError(
            f"The checkpoint of step {step} could not be written to {folder}: {str(error).splitlines()[0]} "
            f"({_free(folder)} free there). {kept}. Make room, or make the directory writable, and give the same "
            f"command again."
        ) from error


def _free(folder: Path) -> str:
    while not folder.exists():
        folder = folder.parent
    return f"{shutil.disk_usage(folder).free / 1e9:.2f} GB"


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
