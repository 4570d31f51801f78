"""Rows from files and from the hub: `problem` and, where a task needs it, `answer`, whatever a source calls them.

All other columns stay beside them. Rows made for verl are understood too, DAPO-Math-17k's first form among them: there
the problem is one user message, with an instruction around it that asks for another form of answer than a box, and the
answer is `reward_model.ground_truth`. Other conversations, with a system prompt or several turns, stay conversations.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError

PROBLEM_COLUMNS = ("problem", "question", "prompt")
ANSWER_COLUMNS = ("answer", "gold", "solution", "reward_model")
"""Names that are understood; where there are several, the first of this list is taken."""
CLUSTER = "cluster"
"""A column that names what several questions share (a contest, a template): intervals count these, not questions."""
SUFFIXES = (".jsonl", ".parquet")

_DAPO_INSTRUCTION = re.compile(
    r"Solve the following math problem step by step\..{0,200}? is the answer to the problem\.\s+"
    r"(?P<problem>.*\S)"
    r"\s+Remember to put your answer on its own line after \"Answer:\"\.\s*",
    re.DOTALL,
)
_AFTER_HASHES = re.compile(r"(?:^|\n)#### *(\S[^\n]*?)\s*$")
"""The answer at the end of GSM8K's solutions."""
_ASKS_FOR_A_LINE = "Answer: $Answer"


class HubError(UserError):
    """Something that only the hub has, and the hub cannot be reached."""


def from_hub(error: Exception, message: str) -> UserError:
    """What to raise for an error of the hub's clients: a `HubError` only where the hub did not answer at all."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    out_of_reach = isinstance(error, ConnectionError) or isinstance(error.__cause__, LocalEntryNotFoundError)
    return HubError(message) if out_of_reach else UserError(message)


def model_not_loaded(name: str, error: Exception) -> UserError:
    """What to raise for a model that transformers could not load, with what to do; see `from_hub` for its class."""
    from huggingface_hub import constants

    where = f"The model {name!r} cannot be loaded: there is no such directory"
    found = from_hub(error, f"{where}, and no such model that the hub lets us read. {str(error).splitlines()[0]}")
    if isinstance(found, HubError):
        return HubError(
            f"{where}, the hub does not answer, and {constants.HF_HUB_CACHE} has no complete copy. Where there is a "
            f"network, `hf download {name}` says where it puts one: give its path here, or copy the cache and set "
            f"HF_HUB_CACHE."
        )
    return found


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


def read_file(path: Path) -> Iterable[dict[str, Any]]:
    """The rows of a JSONL or Parquet file, as they are, read one by one.

    Raises:
        UserError: no such file, another kind of file, or, when it is come to, a line that is no row.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist.")
    if path.suffix == ".parquet":
        rows = _parquet_rows(path)
    elif path.suffix == ".jsonl":
        rows = _json_lines(path)
    else:
        raise UserError(f"{path} is neither a .jsonl nor a .parquet file.")
    return rows


def read_hub(dataset: HubDataset) -> Iterable[dict[str, Any]]:
    """The rows of a data set of the hub, as they are.

    Raises:
        HubError: the hub cannot be reached.
        UserError: it cannot be loaded.
    """
    import datasets
    from datasets.exceptions import DatasetsError

    try:
        rows: Any = datasets.load_dataset(dataset.name, dataset.config, split=dataset.split, revision=dataset.revision)
    except (OSError, ValueError, DatasetsError) as error:
        message = f"The data set {dataset.name!r} cannot be loaded from the hub: {str(error).splitlines()[0]}."
        raise from_hub(error, f"{message} A copy on disk can be given by its path, as JSONL or Parquet.") from error
    return rows


def with_problem(rows: Iterable[dict[str, Any]], source: str) -> Iterator[dict[str, Any]]:
    """The rows one by one with their `problem`, under whichever known name it is.

    Raises:
        UserError: no row, no name that is understood, or an instruction that cannot be told from a problem.
    """
    name = ""
    for index, row in enumerate(rows):
        name = name or _column(row, PROBLEM_COLUMNS, "problem", source)
        yield {"problem": _problem(row.get(name), index, source)} | _others(row, "problem")
    if not name:
        raise UserError(f"{source} holds no problems.")


def with_problem_and_answer(rows: Iterable[dict[str, Any]], source: str) -> Iterator[dict[str, Any]]:
    """The rows with their `problem` and their `answer`; see `with_problem` for what it raises."""
    name = ""
    for row in with_problem(rows, source):
        name = name or _column(row, ANSWER_COLUMNS, "answer", source)
        yield {"problem": row["problem"], "answer": _answer(row.get(name))} | _others(row, "problem", "answer")


def _others(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _problem(value: Any, index: int, source: str) -> Any:
    """A problem without what was put around it for a model; of one user message its text."""
    if not isinstance(value, list):
        return value
    roles = [message.get("role") if isinstance(message, dict) else None for message in value]
    if not roles or roles[-1] != "user" or not isinstance(value[-1].get("content"), str):
        raise UserError(f"{source}, row {index}: a prompt that is a conversation should end with a user's text.")
    if len(value) > 1:
        return value
    text = value[0]["content"]
    if instruction := _DAPO_INSTRUCTION.fullmatch(text):
        return instruction["problem"]
    if _ASKS_FOR_A_LINE in text:
        raise UserError(
            f"{source}, row {index}: the prompt asks for an answer on a line of its own, in other words than "
            f"DAPO-Math-17k, so the problem cannot be separated from the instruction: {text[:120]!r}"
        )
    return text


def _answer(value: Any) -> Any:
    if isinstance(value, dict):
        return value.get("ground_truth")
    if isinstance(value, str) and (found := _AFTER_HASHES.search(value)):
        return found[1]
    return value


def _column(row: dict[str, Any], names: tuple[str, ...], what: str, source: str) -> str:
    for name in names:
        if name in row:
            return name
    raise UserError(
        f"{source}: no column holds the {what}. It should be called {' or '.join(names)}; there are: {', '.join(row)}."
    )


def _parquet_rows(path: Path) -> Iterable[dict[str, Any]]:
    """Row by row: DAPO-Math-17k's first form repeats its problems a hundred times."""
    import pyarrow.parquet

    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as Parquet: {error}") from error


def _json_lines(path: Path) -> Iterable[dict[str, Any]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                row = json.loads(text)
                json.dumps(row, ensure_ascii=False).encode()
            except UnicodeDecodeError as error:
                raise UserError(f"{path}, line {number}, is not UTF-8 ({error}): save the file as UTF-8.") from error
            except UnicodeEncodeError as error:
                raise UserError(
                    f"{path}, line {number}, has half of a character ({error.object[error.start]!a}, a lone "
                    f"surrogate), which no model can read: write the character, or leave it out."
                ) from error
            except RecursionError as error:
                raise UserError(f"{path}, line {number}, is nested too deeply to be a problem.") from error
            except ValueError as error:
                raise UserError(f"{path}, line {number}, is not valid JSON: {error}.") from error
            if not isinstance(row, dict):
                raise UserError(f"{path}, line {number}, is not a JSON object.")
            yield row
