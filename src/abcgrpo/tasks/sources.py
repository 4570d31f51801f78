"""Mathematical problems from files and from the hub: rows with `problem` and `answer`, whatever a source calls them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError

PROBLEM_COLUMNS = ("problem", "question", "prompt")
ANSWER_COLUMNS = ("answer", "gold", "solution")
"""Names that are understood; where there are several, the first of this list is taken."""
SUFFIXES = (".jsonl", ".parquet")


@dataclass(frozen=True)
class HubDataset:
    """A data set of the Hugging Face hub."""

    name: str
    split: str = "train"
    config: str | None = None
    revision: str | None = None


def is_file_name(name: str) -> bool:
    """True for what is meant as a file: a JSONL or Parquet name."""
    return name.endswith(SUFFIXES)


def read_file(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL or Parquet file, as `problem` and `answer`.

    Raises:
        UserError: no such file, another kind of file, or columns that are not understood.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist.")
    if path.suffix == ".parquet":
        import pyarrow.parquet

        try:
            rows = pyarrow.parquet.read_table(path).to_pylist()
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read as Parquet: {error}") from error
    elif path.suffix == ".jsonl":
        rows = list(_json_lines(path))
    else:
        raise UserError(f"{path} is neither a .jsonl nor a .parquet file.")
    return with_known_columns(rows, str(path))


def read_hub(dataset: HubDataset) -> list[dict[str, Any]]:
    """The rows of a data set of the hub, as `problem` and `answer`.

    Raises:
        UserError: it cannot be loaded, or its columns are not understood.
    """
    import datasets
    from datasets.exceptions import DatasetsError

    try:
        rows = datasets.load_dataset(
            dataset.name, dataset.config, split=dataset.split, revision=dataset.revision
        ).to_list()  # type: ignore[union-attr]
    except (OSError, ValueError, DatasetsError) as error:
        raise UserError(
            f"The data set {dataset.name!r} cannot be loaded from the hub: {str(error).splitlines()[0]}. A copy "
            f"on disk can be given by its path, as JSONL or Parquet."
        ) from error
    return with_known_columns(rows, dataset.name)


def with_known_columns(rows: list[dict[str, Any]], source: str) -> list[dict[str, Any]]:
    """`problem` and `answer` of each row.

    Raises:
        UserError: no row, or neither of the names that are understood.
    """
    if not rows:
        raise UserError(f"{source} holds no problems.")
    problem = _column(rows[0], PROBLEM_COLUMNS, "problem", source)
    answer = _column(rows[0], ANSWER_COLUMNS, "answer", source)
    return [{"problem": row.get(problem), "answer": row.get(answer)} for row in rows]


def _column(row: dict[str, Any], names: tuple[str, ...], what: str, source: str) -> str:
    for name in names:
        if name in row:
            return name
    raise UserError(
        f"{source}: no column holds the {what}. It should be called {' or '.join(names)}; there are: {', '.join(row)}."
    )


def _json_lines(path: Path) -> Iterable[dict[str, Any]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UserError(f"{path}, line {number}, is not valid JSON: {error}.") from error
            if not isinstance(row, dict):
                raise UserError(f"{path}, line {number}, is not a JSON object.")
            yield row
