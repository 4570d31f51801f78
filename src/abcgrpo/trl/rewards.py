"""Bad rewards: a reward that raises, or is no number, costs the row that it is of and no other."""

import functools
import logging
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate.utils import gather
from torch import Tensor, nn
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import is_async_callable

from abcgrpo.errors import UserError
from abcgrpo.trl.update.rows import Batch

logger = logging.getLogger(__name__)

_LARGEST = torch.finfo(torch.float32).max


@dataclass
class Failures:
    """The rows of one process's batch whose reward failed, with the first reason of each."""

    most: int
    """More than so many rows, on this process alone, stop the run."""
    reasons: dict[int, str] = field(default_factory=dict)
    trace: str = ""
    """Of the first reward that raised."""

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


class GuardedRewards(GRPOTrainer):
    """Leaves out rows whose reward failed: they have no gradient, and their group's mean is that of the others.

    A reward function that raises is called again row by row. A row fails if a function raises for it or gives NaN, an
    infinite number or no number at all, or if all functions give None. It then has no reward of any function, since a
    sum of some is no value to compare with the sums of its group: TRL leaves it out of the group's mean and standard
    deviation, its advantage is 0, and its tokens are masked, so that no other term of the loss pulls at it either.
    Normalisers stay: the other rows keep the weight that they have in a batch without failures. None from one function
    of several means, as in TRL, that this one has nothing to say.

    Logged is `rewards/failed_rows`, per rollout; each rollout with failures is a warning with the first reason.

    Raises:
        UserError: more than the share `max_failed_rewards` of a rollout's rows, on all processes, failed; with the
            first traceback.
        ValueError: a function gives another number of values than there are rows, which nobody could attribute.
    """

    model: Any

    max_failed_rewards = 0.5
    """A field of this name in the trainer's configuration comes first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.max_failed_rewards = getattr(self.args, "max_failed_rewards", self.max_failed_rewards)
        self._failures = Failures(most=0)
        self._left_out = torch.zeros(0, dtype=torch.bool)
        """(B,), the rows of this process's batch that are left out."""
        self.reward_funcs = [
            function if isinstance(function, nn.Module) else self._guarded(function, name)
            for function, name in zip(self.reward_funcs, self.reward_func_names, strict=True)
        ]

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        if self._left_out.any():
            _mask(output, self._left_out)
        return output

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        rows = len(prompts) * self.accelerator.num_processes
        self._failures = failures = Failures(most=int(self.max_failed_rewards * rows))
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        failed = gather(torch.tensor([row in failures.reasons for row in range(len(prompts))], device=rewards.device))
        models = [isinstance(function, nn.Module) for function in self.reward_funcs]
        failed |= rewards.isinf().any(1) | rewards[:, models].isnan().any(1) | rewards.isnan().all(1)
        rewards[failed] = torch.nan
        first = self.accelerator.process_index * len(prompts)
        self._left_out = failed[first : first + len(prompts)]
        for row in self._left_out.nonzero().flatten().tolist():
            failures.reasons.setdefault(row, f"no reward function gave a number for the answer to {prompts[row]!r}")
        self._report(int(failed.sum()), rows)
        return rewards

    def _report(self, count: int, rows: int) -> None:
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["rewards/failed_rows"].append(float(count))
        failures = self._failures
        if count > self.max_failed_rewards * rows:
            raise failures.fatal(f"{count} of {rows}")
        if failures.reasons:
            logger.warning(
                "%d of %d rewards failed and are left out. The first: %s.\n%s",
                len(failures.reasons),
                rows // self.accelerator.num_processes,
                next(iter(failures.reasons.values())),
                failures.trace,
            )

    def _guarded(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """The function, giving None for a row that failed and noting why."""
        if is_async_callable(function):

            @functools.wraps(function)
            async def call_async(**arguments: Any) -> list[float | None]:
                attempts = _Attempts(self._attempts(name, arguments))
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
            attempts = _Attempts(self._attempts(name, arguments))
            while attempts.arguments is not None:
                try:
                    values = function(**attempts.arguments)
                except Exception as error:
                    attempts.raised(error)
                else:
                    attempts.gave(values)
            return attempts.rewards

        return call

    def _attempts(self, name: str, arguments: dict[str, Any]) -> "_Calls":
        """All rows in one call, and if that raises a call for each."""

        def failed(row: int, reason: str, error: Exception | None = None) -> None:
            prompt = repr(arguments["prompts"][row])[:300]
            self._failures.add(row, f"{name} {reason} for an answer to {prompt}", error)

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
        """Of the call to make next; None when `rewards` are complete."""

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
    """What a call logs, held back until it has succeeded: half of a call would shift the columns of the others."""

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
    given = len(values) if hasattr(values, "__len__") else None
    if given != count:
        what = f"returned {given} rewards" if given is not None else f"returned {type(values).__name__}"
        raise _WrongCountError(
            f"The reward function {name!r} {what}, but {count} were expected, one per answer: which answers are "
            f"meant cannot be known."
        )
    return list(values)


def _is_column(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count


def _why_unusable(value: Any) -> str:
    """Empty for a number that a reward can be; None is one."""
    if value is None:
        return ""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return f"gave {value!r:.100}, which is no number,"
    return "" if abs(number) <= _LARGEST else f"gave {number}"


def _mask(output: Batch, rows: Tensor) -> None:
    """Leave no token of these rows for the loss."""
    for name in ("completion_mask", "tool_mask"):
        if name in output:
            output[name] = output[name] * (~rows)[:, None]
