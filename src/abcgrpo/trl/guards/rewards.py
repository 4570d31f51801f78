"""Bad rewards: a reward that raises, or is no number, costs the row that it is of and no other."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from accelerate.utils import gather
from torch import Tensor, nn

from abcgrpo.trl.batch import Batch
from abcgrpo.trl.component import Component, Metrics
from abcgrpo.trl.config import option
from abcgrpo.trl.guards.calls import Failures, guarded

logger = logging.getLogger(__name__)


class RewardGuards(Component):
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

    name = "rewards"

    def __init__(self, trainer: Any) -> None:
        super().__init__(trainer)
        self._most: float = option(trainer.args, "max_failed_rewards")
        self._failures = Failures(most=0)
        self._left_out = torch.zeros(0, dtype=torch.bool)
        """(B,), the rows of this process's batch that are left out."""

    @contextmanager
    def noting_failures(self, rows: int) -> Iterator[None]:
        """Inside, the trainer's reward functions are ones that note failures; `rows` is this process's number of rows.

        The trainer's own list is back afterwards, so that callbacks and scripts see the functions that they gave.
        """
        trainer = self.trainer
        self._failures = failures = Failures(most=int(self._most * rows * trainer.accelerator.num_processes))
        given = trainer.reward_funcs
        trainer.reward_funcs = [
            function if isinstance(function, nn.Module) else guarded(function, name, failures)
            for function, name in zip(given, trainer.reward_func_names, strict=True)
        ]
        try:
            yield
        finally:
            trainer.reward_funcs = given

    def without_failed(self, rewards: Tensor, prompts: list[Any], metrics: Metrics) -> Tensor:
        """The rewards of all processes, (N, functions), with NaN in the rows that failed."""
        accelerator, failures = self.trainer.accelerator, self._failures
        here = torch.tensor([row in failures.reasons for row in range(len(prompts))], device=rewards.device)
        failed = cast(Tensor, gather(here))
        models = [isinstance(function, nn.Module) for function in self.trainer.reward_funcs]
        failed |= rewards.isinf().any(1) | rewards[:, models].isnan().any(1) | rewards.isnan().all(1)
        rewards[failed] = torch.nan
        first = accelerator.process_index * len(prompts)
        self._left_out = failed[first : first + len(prompts)]
        for row in self._left_out.nonzero().flatten().tolist():
            failures.reasons.setdefault(row, f"no reward function gave a number for the answer to {prompts[row]!r}")
        self._report(int(failed.sum()), len(failed), metrics)
        return rewards

    def rollout_scored(self, output: Batch) -> None:
        """Leave no token of the rows that failed for the loss."""
        if self._left_out.any():
            for name in ("completion_mask", "tool_mask"):
                if name in output:
                    output[name] = output[name] * (~self._left_out)[:, None]

    def _report(self, count: int, rows: int, metrics: Metrics) -> None:
        metrics["rewards/failed_rows"].append(float(count))
        failures = self._failures
        if count > self._most * rows:
            raise failures.fatal(f"{count} of {rows}")
        if failures.reasons:
            logger.warning(
                "%d of %d rewards failed and are left out. The first: %s.\n%s",
                len(failures.reasons),
                rows // self.trainer.accelerator.num_processes,
                next(iter(failures.reasons.values())),
                failures.trace,
            )
