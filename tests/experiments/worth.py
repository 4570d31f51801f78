"""A reward, and advantages that are rewards, with which equal answers teach something: no random number decides."""

from dataclasses import dataclass

from abcgrpo.advantages.estimator import Estimator


@dataclass(frozen=True)
class Rewards(Estimator):
    """Â = reward."""

    def __call__(self, groups):
        return groups.rewards


def even(completions, **_):
    """1 for an answer of an even length, −1/2 for any other."""
    return [1.0 if len(completion) % 2 == 0 else -0.5 for completion in completions]
