"""The component that sees the groups of a rollout whole: what prefixes were worth, and the advantages of an estimator.

Without an estimator advantages are TRL's own: it weighs several rewards before or after scaling them
(`multi_objective_aggregation`), and a run with its defaults must equal a run of `trl.GRPOTrainer` to the last digit,
rounding included.
"""

from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from abcgrpo.advantages import Estimator, Groups
from abcgrpo.trl.batch import Batch, loss_mask
from abcgrpo.trl.component import Component
from abcgrpo.trl.old_pass import old_distribution

ROUNDING = 1e-9
"""A prefix whose mean reward is this near to its group's is worth as much."""


class Advantages(Component):
    """Puts an estimator's advantages in the place of TRL's: (B,), or (B, T) for an estimator of tokens.

    The estimator is given whole groups, gathered over the processes that they straddle, with the weighted sum of each
    response's rewards. A response that has no reward gets advantage 0.

    With and without an estimator a rollout for training also gets, for measurements, `rewards` (B,), `prefix_gain`
    (B, T), which is V(s_{t+1}) − V(root), and `prefix_leaves` (B, T), the responses of the group that share s_{t+1}.

    Raises:
        ValueError: the estimator gives another shape, or numbers that are not finite.
    """

    name = "advantages"

    def __init__(self, trainer: Any, estimator: Estimator | None) -> None:
        super().__init__(trainer)
        self._estimator = estimator
        self._rewards: Tensor | None = None  # (N,), of the rollout that is being made, on all processes

    def rewards_given(self, rewards: Tensor) -> None:
        """These are the rewards of all processes, (N, functions), NaN if there is none."""
        weighted = (rewards * self.trainer.reward_weights.to(rewards.device)).nansum(1)
        self._rewards = torch.where(rewards.isnan().all(1), torch.nan, weighted)

    def rollout_scored(self, output: Batch) -> None:
        """TRL has made a rollout, with its own advantages."""
        assert self._rewards is not None, "TRL calculates rewards for every rollout"
        trainer = self.trainer
        if self._estimator is None and not trainer.model.training:
            return
        size = trainer.num_generations if trainer.model.training else trainer.num_generations_eval
        mask = self._whole(loss_mask(output).long()).bool()  # not bool, which padding turns into integers
        groups = Groups(self._rewards, size, self._whole(output["completion_ids"]), mask)
        if trainer.model.training:
            self._note_prefixes(groups, output)
        if self._estimator is not None:
            self._estimate(self._estimator, groups, output)

    def _note_prefixes(self, groups: Groups, output: Batch) -> None:
        tree = groups.tree
        gain = tree.values[:, 1:] - tree.values[:, :1]
        output["rewards"] = self._here(groups.rewards, output)
        output["prefix_gain"] = self._here(torch.where(gain.abs() < ROUNDING, 0.0, gain).float(), output)
        output["prefix_leaves"] = self._here(tree.leaves[:, 1:], output)

    def _estimate(self, estimator: Estimator, groups: Groups, output: Batch) -> None:
        rewards, ids, mask = groups.rewards, groups.completion_ids, groups.mask
        needed = {name: self._whole(part)[:, : ids.size(1)] for name, part in self._needed(estimator, output).items()}
        found = estimator(replace(groups, **needed) if needed else groups)
        if found.shape not in (rewards.shape, ids.shape):
            raise ValueError(
                f"the advantages of {estimator.name!r} are {tuple(found.shape)}, not {tuple(rewards.shape)} for "
                f"responses or {tuple(ids.shape)} for tokens"
            )
        unused = rewards.isnan() if found.dim() == 1 else rewards.isnan()[:, None] | ~mask
        found = torch.where(unused, 0.0, found.float())
        if not found.isfinite().all():
            raise ValueError(f"the advantages of {estimator.name!r} are not all finite numbers")
        output["advantages"] = self._here(found, output)
        self._show(found if found.dim() == 1 else found.sum(1) / mask.sum(1).clamp(min=1))

    def _needed(self, estimator: Estimator, output: Batch) -> dict[str, Tensor]:
        """What the estimator needs of the policy's distribution, and weights of the sampler beside it.

        The log-probs of that pass are the rollout's old ones, so that none is made a second time.
        """
        if not estimator.needs:
            return {}
        found = old_distribution(self.trainer, output)
        output["old_per_token_logps"] = found.logprobs
        self.trainer.fast_update.old_logprobs_given()
        needed = {name: getattr(found, name) for name in sorted(estimator.needs)}
        if (weights := output.get("importance_sampling_ratio")) is not None:
            needed["importance_weights"] = weights.expand_as(found.logprobs)
        return needed

    def _whole(self, part: Tensor) -> Tensor:
        """The rows of all processes, in their order."""
        accelerator = self.trainer.accelerator
        if accelerator.num_processes == 1:
            return part
        return cast(Tensor, accelerator.gather(accelerator.pad_across_processes(part, dim=1)))

    def _here(self, whole: Tensor, output: Batch) -> Tensor:
        """This process's rows among those of all processes, as wide as its completions."""
        rows, length = output["completion_ids"].shape
        first = rows * self.trainer.accelerator.process_index
        here = whole[first : first + rows]
        return here if here.dim() == 1 else here[:, :length]

    def _show(self, advantages: Tensor) -> None:
        """Put them in the table of completions too: for tokens their mean."""
        shown = self.trainer._logs["advantages"]
        for _ in range(min(len(advantages), len(shown))):
            shown.pop()
        shown.extend(advantages.tolist())
