"""A reward that is a coin: what training does to a model when nothing can be learnt.

With it the advantages are noise whatever the model answers, so that a change of entropy is the doing of the clipping
rule alone (arXiv 2509.26114).
"""

import hashlib
import os
from typing import Any


class Coin:
    """1.0 or 0.0 with equal probability, by a seed of its own, whatever the answer; a reward in TRL's signature.

    A coin is fixed by the seed, the optimizer step, the prompt, and the place in the batch: by neither the answers nor
    the seeds of training and sampling. A resumed run draws the coins that it would have drawn.
    """

    grades_answers = False
    """Evaluation keeps the task's own grade."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.__name__ = "coin"

    def __call__(self, completions: list[Any], prompts: list[Any], trainer_state: Any = None, **_: Any) -> list[float]:
        """A coin for each completion.

        Args:
            completions: only their number matters.
            prompts: as many.
            trainer_state: TRL's; without it every step is step 0.
        """
        step = getattr(trainer_state, "global_step", 0)
        process = os.environ.get("RANK", "0")
        keys = (f"{self.seed}:{step}:{process}:{place}:{prompt}" for place, prompt in enumerate(prompts))
        return [float(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[0] & 1) for key in keys]


coin = Coin()
"""In a recipe: `reward_funcs: [abcgrpo.tasks.coin.coin]`. Another seed: `coin = Coin(7)` in a module of your own."""
