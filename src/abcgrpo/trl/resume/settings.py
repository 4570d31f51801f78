"""The settings of an optimizer and a schedule, which a checkpoint brings along with their states."""

from typing import Any


class Settings:
    """Learning rates, weight decay and the like of each group, as they are now."""

    def __init__(self, optimizer: Any, scheduler: Any) -> None:
        self._optimizer = optimizer
        self._scheduler = getattr(scheduler, "scheduler", scheduler)  # without accelerate's wrapper
        self._groups = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
        self._rates = list(getattr(self._scheduler, "base_lrs", []))

    def put_back(self) -> None:
        """Make them what they were; the schedule stays at its step."""
        for group, settings in zip(self._optimizer.param_groups, self._groups, strict=True):
            group.update(settings)
        if hasattr(self._scheduler, "lr_lambdas"):
            shares = [share(self._scheduler.last_epoch) for share in self._scheduler.lr_lambdas]
            now = [rate * share for rate, share in zip(self._rates, shares, strict=True)]
            self._scheduler.base_lrs, self._scheduler._last_lr = self._rates, now
            for group, rate in zip(self._optimizer.param_groups, now, strict=True):
                group["lr"] = rate
