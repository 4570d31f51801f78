"""Options of a command that are the fields of a class: name, type, default, help and check are written there alone."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Literal, get_origin, get_type_hints

import typer
from pydantic import BaseModel, ValidationError

from abcgrpo.errors import UserError, mistake_in_words


def an_option_for_each_field(model: type[BaseModel], name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field of `model`, in the place of its parameter `name`.

    The command gets an object of the class, made of the options that the user gave.

    Raises:
        UserError: by the command, where the class refuses what was given.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def with_options(context: typer.Context, **given: Any) -> None:
            chosen = {field: given.pop(field) for field in model.model_fields}
            for field in list(chosen):
                source = context.get_parameter_source(field)
                if source is None or source.name == "DEFAULT":
                    del chosen[field]
            try:
                options = model.model_validate(chosen)
            except ValidationError as error:
                first = error.errors()[0]
                place = "".join(f"--{str(field).replace('_', '-')}: " for field in first["loc"])
                raise UserError(f"{place}{mistake_in_words(first)}") from None
            command(**given, **{name: options})

        hints = get_type_hints(command, include_extras=True)
        parameters = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
        for parameter in inspect.signature(command).parameters.values():
            if parameter.name == name:
                parameters += _options(model)
            else:
                parameters.append(
                    parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
                )
        with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
        with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return with_options

    return decorate


def _options(model: type[BaseModel]) -> list[inspect.Parameter]:
    options = []
    for name, field in model.model_fields.items():
        kind = str if get_origin(field.annotation) is Literal else field.annotation
        limits = {
            limit: getattr(each, bound)
            for each in field.metadata
            for limit, bound in (("min", "ge"), ("max", "le"))
            if hasattr(each, bound)
        }
        option = typer.Option(help=field.description, **limits)
        options.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.get_default(),
                annotation=Annotated[kind, option],
            )
        )
    return options
