"""What an advantage estimator is: whole groups in, an advantage per response or per token out."""

from typing import NamedTuple

from torch import Tensor

from abcgrpo.named import Named


class Groups(NamedTuple):
    """All responses of a rollout, on all ranks; the responses to one prompt side by side."""

    rewards: Tensor
    """(N,), float32. NaN marks a response that could not be scored."""
    group_size: int
    """G, the number of responses to one prompt."""
    completion_ids: Tensor
    """(N, T), the responses' tokens, padded on the right."""
    mask: Tensor
    """(N, T), True at the tokens that the policy wrote: not at padding, nor at a tool's output."""


class Estimator(Named):
    """How good a response was, or each of its tokens, compared with the others of its group.

    An estimator is a frozen dataclass whose fields are its parameters, each with a default, and one method.
    """

    def __call__(self, groups: Groups) -> Tensor:
        """Advantages, (N,) for responses or (N, T) for tokens, float32.

        What is given for responses without a reward (NaN), and for masked tokens, is not used.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what a response is worth: write `__call__`")
