"""The component that estimates advantages where the configuration names an estimator.

Without one they are TRL's own: it weighs several rewards before or after scaling them (`multi_objective_aggregation`),
and a run with its defaults must equal a run of `trl.GRPOTrainer` to the last digit, rounding included.
"""

from typing import Any, cast

import torch
from torch import Tensor

from abcgrpo.advantages import Estimator, Groups
from abcgrpo.trl.batch import Batch, loss_mask
from abcgrpo.trl.component import Component
from abcgrpo.trl.old_pass import old_distribution


class Advantages(Component):
    """Puts an estimator's advantages in the place of TRL's: (B,), or (B, T) for an estimator of tokens.

    The estimator is given whole groups, gathered over the processes that they straddle, with the weighted sum of each
    response's rewards. A response that has no reward gets advantage 0.

    Raises:
        ValueError: the estimator gives another shape, or numbers that are not finite.
    """

    name = "advantages"

    def __init__(self, trainer: Any, estimator: Estimator | None) -> None:
        super().__init__(trainer)
        self._estimator = estimator
        self._rewards: Tensor | None = None  # (N,), of the rollout that is being made, on all processes

    def rewards_given(self, rewards: Tensor) -> None:
        """These are the rewards of all processes, (N, functions), NaN where there is none."""
        weighted = (rewards * self.trainer.reward_weights.to(rewards.device)).nansum(1)
        self._rewards = torch.where(rewards.isnan().all(1), torch.nan, weighted)

    def rollout_scored(self, output: Batch) -> None:
        """TRL has made a rollout, with its own advantages."""
        if self._estimator is None:
            return
        assert self._rewards is not None, "TRL calculates rewards for every rollout"
        trainer, accelerator = self.trainer, self.trainer.accelerator
        ids, mask = output["completion_ids"], loss_mask(output).long()  # not bool, which padding turns into integers
        (rows, length), rewards = ids.shape, self._rewards
        ids, mask = self._whole(ids), self._whole(mask).bool()
        needed = {name: self._whole(part)[:, : ids.size(1)] for name, part in self._needed(output).items()}
        size = trainer.num_generations if trainer.model.training else trainer.num_generations_eval
        found = self._estimator(Groups(rewards, size, ids, mask, **needed))
        if found.shape not in (rewards.shape, ids.shape):
            raise ValueError(
                f"the advantages of {self._estimator.name!r} are {tuple(found.shape)}, not {tuple(rewards.shape)} for "
                f"responses or {tuple(ids.shape)} for tokens"
            )
        unused = rewards.isnan() if found.dim() == 1 else rewards.isnan()[:, None] | ~mask
        found = torch.where(unused, 0.0, found.float())
        if not found.isfinite().all():
            raise ValueError(f"the advantages of {self._estimator.name!r} are not all finite numbers")
        first = rows * accelerator.process_index
        here = found[first : first + rows]
        output["advantages"] = here if here.dim() == 1 else here[:, :length]
        self._show(found if found.dim() == 1 else found.sum(1) / mask.sum(1).clamp(min=1))

    def _needed(self, output: Batch) -> dict[str, Tensor]:
        """What the estimator needs of the policy's distribution, and weights of the sampler beside it.

        The log-probs of that pass are the rollout's old ones, so that none is made a second time.
        """
        assert self._estimator is not None
        if not self._estimator.needs:
            return {}
        found = old_distribution(self.trainer, output)
        output["old_per_token_logps"] = found.logprobs
        self.trainer.fast_update.old_logprobs_given()
        needed = {name: getattr(found, name) for name in sorted(self._estimator.needs)}
        if (weights := output.get("importance_sampling_ratio")) is not None:
            needed["importance_weights"] = weights.expand_as(found.logprobs)
        return needed

    def _whole(self, part: Tensor) -> Tensor:
        """The rows of all processes, in their order."""
        accelerator = self.trainer.accelerator
        if accelerator.num_processes == 1:
            return part
        return cast(Tensor, accelerator.gather(accelerator.pad_across_processes(part, dim=1)))

    def _show(self, advantages: Tensor) -> None:
        """Put them in the table of completions too: for tokens their mean."""
        shown = self.trainer._logs["advantages"]
        for _ in range(min(len(advantages), len(shown))):
            shown.pop()
        shown.extend(advantages.tolist())
