"""What an advantage estimator is: whole groups in, an advantage per response or per token out."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from torch import Tensor

from abcgrpo.advantages.tree import PrefixTree, prefix_tree, response_lengths
from abcgrpo.named import Named


@dataclass(frozen=True, eq=False)
class Groups:
    """All responses of a rollout, on all ranks; the responses to one prompt side by side."""

    rewards: Tensor
    """(N,), float32. NaN marks a response that could not be scored."""
    group_size: int
    """G, the number of responses to one prompt."""
    completion_ids: Tensor
    """(N, T), the responses' tokens, padded on the right."""
    mask: Tensor
    """(N, T), True at the tokens that the policy wrote: not at padding, nor at a tool's output."""
    logprobs: Tensor | None = None
    """(N, T), log π of the tokens under the policy that the rollout began with; for estimators that need it."""
    squared_probabilities: Tensor | None = None
    """(N, T), Σπ² over the vocabulary at each token; for estimators that need it."""
    entropies: Tensor | None = None
    """(N, T), of the policy at each token, in nats; for estimators that need it."""
    importance_weights: Tensor | None = None
    """(N, T), the policy's over the sampler's probability, where another program samples and the loss corrects for it;
    for estimators that need the policy's distribution."""

    @cached_property
    def tree(self) -> PrefixTree:
        """Which responses share which prefix, and what they were worth; computed once for all that ask for it."""
        return prefix_tree(self.rewards, self.group_size, self.completion_ids, response_lengths(self.mask))


class Estimator(Named):
    """How good a response was, or each of its tokens, compared with the others of its group.

    An estimator is a frozen dataclass whose fields are its parameters, each with a default, and one method.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    """Which of `logprobs`, `squared_probabilities` and `entropies` it reads. A trainer computes them in the pass for
    old log-probs, and only where an estimator needs them."""

    def __call__(self, groups: Groups) -> Tensor:
        """Advantages, (N,) for responses or (N, T) for tokens, float32.

        What is given for responses without a reward (NaN), and for masked tokens, is not used.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method `__call__`: write it")
