"""A reward function whose failures are noted: called for all rows at once, and again row by row if it raises."""

import functools
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from trl.trainer.utils import is_async_callable

from abcgrpo.errors import UserError

_LARGEST = torch.finfo(torch.float32).max


@dataclass
class Failures:
    """The rows of one process's batch whose reward failed, with the first reason of each."""

    most: int
    """With more failed rows than this, on this process alone, the run stops."""
    reasons: dict[int, str] = field(default_factory=dict)
    trace: str = ""
    """Traceback of the first reward that raised."""

    def add(self, row: int, reason: str, error: Exception | None = None) -> None:
        """Note a row that failed.

        Raises:
            UserError: there are too many of them, so that the others need not be waited for.
        """
        self.reasons.setdefault(row, reason)
        if error is not None and not self.trace:
            self.trace = "".join(traceback.format_exception(error))
        if len(self.reasons) > self.most:
            raise self.fatal(f"More than {self.most}")

    def fatal(self, count: str) -> UserError:
        """The error that ends a run."""
        first = next(iter(self.reasons.values()), "on another process")
        text = f"{count} rewards of a rollout failed, more than max_failed_rewards allows. The first: {first}."
        return UserError(f"{text}\n{self.trace}".rstrip())


def guarded(function: Callable[..., Any], name: str, failures: Failures) -> Callable[..., Any]:
    """The function, giving None for a row that failed and noting why in `failures`."""
    if is_async_callable(function):

        @functools.wraps(function)
        async def call_async(**arguments: Any) -> list[float | None]:
            attempts = _Attempts(_attempts(name, arguments, failures))
            while attempts.arguments is not None:
                try:
                    values = await function(**attempts.arguments)
                except Exception as error:
                    attempts.raised(error)
                else:
                    attempts.gave(values)
            return attempts.rewards

        return call_async

    @functools.wraps(function)
    def call(**arguments: Any) -> list[float | None]:
        attempts = _Attempts(_attempts(name, arguments, failures))
        while attempts.arguments is not None:
            try:
                values = function(**attempts.arguments)
            except Exception as error:
                attempts.raised(error)
            else:
                attempts.gave(values)
        return attempts.rewards

    return call


def _attempts(name: str, arguments: dict[str, Any], failures: Failures) -> "_Calls":
    """All rows in one call, and if that raises a call for each."""

    def failed(row: int, reason: str, error: Exception | None = None) -> None:
        prompt = repr(arguments["prompts"][row])[:300]
        failures.add(row, f"{name} {reason} for an answer to {prompt}", error)

    count = len(arguments["prompts"])
    hooks = _Hooks()
    rows = [hooks]
    try:
        values = _counted((yield arguments | hooks.as_arguments()), count, name)
    except _WrongCountError:
        raise
    except Exception:
        values, rows = [], [_Hooks() for _ in range(count)]
        for row, hooks in enumerate(rows):
            own = {key: [value[row]] for key, value in arguments.items() if _is_column(value, count)}
            try:
                values += _counted((yield arguments | own | hooks.as_arguments()), 1, name)
            except _WrongCountError:
                raise
            except Exception as error:
                rows[row] = _Hooks()  # what it logged before it raised is no row's
                values.append(failed(row, f"raised {error!r:.300}", error))
    _forward(rows, arguments)
    rewards: list[float | None] = []
    for row, value in enumerate(values):
        reason = _why_unusable(value)
        rewards.append(None if value is None else failed(row, reason) if reason else float(value))
    return rewards


_Calls = Generator[dict[str, Any], Any, list[float | None]]
"""Yields the arguments of a call, takes its values or what it raised; returns the rewards."""


class _Attempts:
    """Calls that are made from outside, so that functions and coroutines are called alike."""

    def __init__(self, calls: _Calls) -> None:
        self._calls = calls
        self.rewards: list[float | None] = []
        self.arguments: dict[str, Any] | None = next(calls)
        """Arguments of the next call; None when `rewards` are complete."""

    def gave(self, values: Any) -> None:
        self._go_on(functools.partial(self._calls.send, values))

    def raised(self, error: Exception) -> None:
        self._go_on(functools.partial(self._calls.throw, error))

    def _go_on(self, step: Callable[[], dict[str, Any]]) -> None:
        try:
            self.arguments = step()
        except StopIteration as end:
            self.arguments, self.rewards = None, end.value


class _WrongCountError(ValueError):
    """Values that cannot be attributed to rows."""


class _Hooks:
    """What a call logs, held out until it has succeeded: half of a call would shift the columns of the others."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {}
        self.metrics: list[tuple[str, float]] = []

    def as_arguments(self) -> dict[str, Callable[..., None]]:
        return {"log_extra": self._log_extra, "log_metric": self._log_metric}

    def _log_extra(self, column: str, values: list[Any]) -> None:
        self.columns.setdefault(column, []).extend(values)

    def _log_metric(self, name: str, value: float) -> None:
        self.metrics.append((name, value))


def _forward(calls: list[_Hooks], arguments: dict[str, Any]) -> None:
    """Log what the calls did; a row without a column that others have is None there."""
    for column in {name: None for call in calls for name in call.columns}:
        arguments["log_extra"](column, [value for call in calls for value in call.columns.get(column, [None])])
    for call in calls:
        for name, value in call.metrics:
            arguments["log_metric"](name, value)


def _counted(values: Any, count: int, name: str) -> list[Any]:
    if isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping):
        values = list(values)
    if not isinstance(values, list) or len(values) != count:
        what = f"returned {len(values)} rewards" if isinstance(values, list) else f"returned {type(values).__name__}"
        raise _WrongCountError(
            f"The reward function {name!r} {what}, but {count} were expected, one per answer, so rewards "
            f"cannot be matched to answers."
        )
    return values


def _is_column(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count


def _why_unusable(value: Any) -> str:
    """Empty for a number that a reward can be; None is one."""
    if value is None:
        return ""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return f"gave {value!r:.100}, which is not a number,"
    return "" if abs(number) <= _LARGEST else f"gave {number}"
