"""A task of your own: a function `grade(text, row)`, or TRL's convention of `train_dataset` and `reward_funcs`.

What is read of a module, or of any other object:

| attribute                        | meaning                                                                        |
|----------------------------------|--------------------------------------------------------------------------------|
| `grade`                          | (text, row) → True, False, or a score; a score of 1 or more is right           |
| `reward_funcs`                   | TRL's rewards; the first tells what is right. Instead of `grade`               |
| `train_dataset`, `eval_dataset`  | a path, a list of rows, a `datasets.Dataset`, or a function that gives one     |
| `prompt_template`, `prompt_form` | see `abcgrpo.tasks.prompts`; by default the problem and nothing else, as `chat` |
| `sampling`                       | a mapping: temperature, top_p, top_k, max_new_tokens                           |
"""

import inspect
import random
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from abcgrpo.errors import UserError, unknown_name
from abcgrpo.grading.verdict import Verdict
from abcgrpo.tasks.prompts import PromptTemplate, problem_text
from abcgrpo.tasks.scores import code_of, grade_by_function
from abcgrpo.tasks.sources import HubDataset, is_file_name, read_file, read_hub, with_problem
from abcgrpo.tasks.task import Grade, Row, SamplingDefaults, Task, TrainingData


def module_of_file(path: Path, where: str) -> ModuleType:
    """The module in a Python file; files beside it can be imported by it.

    Raises:
        UserError: no such file, a name that another module has, or whatever the file raises, with its own message.
    """
    path = path.expanduser().resolve()
    if not path.is_file():
        raise UserError(f"{where}: {path} does not exist.")
    known = sys.modules.get(path.stem)
    if known is not None:
        if Path(getattr(known, "__file__", None) or "").resolve() == path:
            return known
        raise UserError(f"{where}: {path.name} has the name of another module that is loaded: rename it.")
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's own file raises belongs to the user
        del sys.modules[path.stem]
        raise UserError(f"{where}: {path} cannot be imported: {type(error).__name__}: {error}.") from error
    return module


def task_from(thing: Any, name: str, spec: str, parameters: Mapping[str, Any], where: str) -> Task:
    """A task from what an import path or a file leads to: a `Task`, a grade function, or an object as above.

    A class, or a function of other than two arguments, is called with the parameters for it.

    Raises:
        UserError: none of these, or parameters that nothing takes.
    """
    if inspect.isclass(thing) or (inspect.isroutine(thing) and not _is_grade(thing)):
        try:
            thing = thing(**parameters)
        except TypeError as error:
            raise UserError(f"{where}: task {name} cannot be made: {error}.") from error
    elif parameters:
        raise UserError(f"{where}: task {name} takes no parameters, got {', '.join(parameters)}.")
    if isinstance(thing, Task):
        return thing if thing.spec else replace(thing, spec=spec)
    if getattr(thing, "environment_factory", None) is not None:
        raise UserError(
            f"{where}: task {name} has an environment_factory: tasks of several turns cannot be trained on."
        )
    if inspect.isroutine(thing):
        return _own_task(None, name, spec, grade_by_function(thing, name), code_of([thing]))
    function, rewards = getattr(thing, "grade", None), getattr(thing, "reward_funcs", None)
    if (function is None) == (rewards is None):
        both = "neither grade nor reward_funcs" if function is None else "both grade and reward_funcs"
        raise UserError(f"{where}: {name} has {both}: a task needs one of them, such as `def grade(text, row):`.")
    if function is not None:
        return _own_task(thing, name, spec, grade_by_function(function, name), code_of([function]))
    functions = [each for each in (rewards if isinstance(rewards, list | tuple) else [rewards]) if callable(each)]
    if not functions or (isinstance(rewards, list | tuple) and len(functions) < len(rewards)):
        raise UserError(f"{where}: reward_funcs of {name} should be functions, got {rewards!r}.")
    return _own_task(thing, name, spec, _nothing_yet).rewarded_by(functions)


def _nothing_yet(texts: list[str], rows: list[Row]) -> list[Verdict]:
    raise AssertionError("the rewards grade")


def _is_grade(function: Callable) -> bool:
    """Whether a function has the two arguments of `grade(text, row)`."""
    needed = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    return len(needed) == 2


def _own_task(thing: Any, name: str, spec: str, grade: Grade, code: str = "") -> Task:
    training = getattr(thing, "train_dataset", None)
    held_out = getattr(thing, "eval_dataset", None)
    template = PromptTemplate(getattr(thing, "prompt_template", "{problem}"), getattr(thing, "prompt_form", "chat"))
    given = dict(getattr(thing, "sampling", None) or {})
    known = [item.name for item in fields(SamplingDefaults)]
    for option in given:
        if option not in known:
            raise unknown_name("option of sampling", option, known, name)

    def training_rows(data: TrainingData) -> list[Row]:
        if data.skip_unusable_rows:
            raise UserError(f"skip_unusable_rows has no effect with task {name}, whose rows are yours: leave it out.")
        rows = checked_rows(_rows(data, training, name), data.dataset_name or f"train_dataset of {name}")
        if data.count is None:
            return rows
        if data.count > len(rows):
            raise UserError(f"num_problems={data.count}: there are {len(rows)} rows to train on.")
        return random.Random(data.seed).sample(rows, data.count)

    def held_out_rows(count: int | None) -> list[Row]:
        rows = checked_rows(_read(held_out, f"eval_dataset of {name}"), f"eval_dataset of {name}")
        if count is not None and count > len(rows):
            raise UserError(f"eval_dataset of {name} has {len(rows)} rows, not {count}.")
        return rows[:count]

    return Task(
        name=name,
        template=template,
        training_rows=training_rows,
        grade=grade,
        held_out_rows=held_out_rows if held_out is not None else None,
        checked_rows=checked_rows,
        sampling=SamplingDefaults(**given),
        spec=spec,
        code=code,
    )


def checked_rows(rows: list[Row], source: str) -> list[Row]:
    """Rows as a table has them: every row every column (None if it has none), each with a `problem` of its own.

    Training keeps its rows in a table, so evaluation grades by the same.

    Raises:
        UserError: a column of mixed types, no column of problems, or a problem that is blank or comes twice.
    """
    import pyarrow

    try:
        names = dict.fromkeys(name for row in rows for name in row)
        rows = pyarrow.Table.from_pylist([{name: row.get(name) for name in names} for row in rows]).to_pylist()
    except pyarrow.ArrowException as error:
        raise UserError(f"{source}: a column has values of different types: {error}.") from error
    rows = list(with_problem(rows, source))
    seen: dict[str, int] = {}
    for number, row in enumerate(rows):
        text = problem_text(row["problem"]) if isinstance(row["problem"], str | list) else ""
        if not text.strip():
            raise UserError(f"{source}, row {number}: the problem should be text or a conversation, and not blank.")
        first = seen.setdefault(text, number)
        if first != number:
            raise UserError(f"{source}, row {number}: the problem repeats row {first}.")
    return rows


def _rows(data: TrainingData, training: Any, name: str) -> list[Row]:
    if data.dataset_name is None:
        if training is None:
            raise UserError(
                f"task {name} needs dataset_name, a .jsonl or .parquet file, or a train_dataset of its own."
            )
        if data.dataset_config is not None:
            raise UserError("dataset_config has no effect without dataset_name.")
        return _read(training, f"train_dataset of {name}")
    if training is not None:
        raise UserError(f"dataset_name has no effect with task {name}, which has a train_dataset: leave it out.")
    if is_file_name(data.dataset_name):
        if data.dataset_config is not None:
            raise UserError(f"dataset_config={data.dataset_config!r} has no effect on a file ({data.dataset_name}).")
        return list(read_file(Path(data.dataset_name).expanduser()))
    return [dict(row) for row in read_hub(HubDataset(data.dataset_name, config=data.dataset_config))]


def _read(source: Any, what: str) -> list[Row]:
    if callable(source) and not isinstance(source, Iterable):
        source = source()
    if isinstance(source, str | Path):
        return list(read_file(Path(source).expanduser()))
    rows = [dict(row) for row in source] if isinstance(source, Iterable) else []
    if not rows:
        raise UserError(f"{what} holds no rows: it should be a path, a list of rows, or a data set.")
    return rows
