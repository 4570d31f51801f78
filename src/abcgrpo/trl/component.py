"""What a trainer is composed of: components with a state of their own, and what they are told of a run.

A component sees the trainer's configuration and what TRL's trainer offers, and the micro-batches that it is shown. It
touches no other component. What it keeps between optimizer steps is in its `state_dict`, which is saved and restored
with the run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from abcgrpo.trl.batch import Batch

Metrics = dict[str, list[float]]
"""What is logged next: a list of values for each name, of which TRL takes the mean."""


@dataclass
class LossPass:
    """A micro-batch on its way through the loss: B rows of T completion tokens."""

    batch: Batch
    model: Any
    """What the loss was given to run: the trainer's model, wrapped for training."""
    training: bool
    """False in an evaluation."""
    ends_step: bool
    """The last micro-batch of an optimizer step. Each one of an evaluation is."""
    logprobs: Tensor | None = None
    """(B, T), the policy's, without gradient. None until the loss has run the policy, or if it does so by itself."""
    entropies: Tensor | None = None
    """(B, T), in nats; None if they were not asked for or do not cover all rows."""
    entropies_are_whole: bool = True
    """False in the steps in which rows were left out of the pass for entropies."""
    token_means: dict[str, Tensor] = field(default_factory=dict)
    """Values (B, T) that the loss wants logged, by name, as their mean over the step's tokens."""
    loss: Tensor | None = None
    """Its part of the optimizer step's loss, without gradient; there when the loss is computed."""


class Component:
    """A part of a trainer. Every method below may be left as it is."""

    name: str
    """Its state is saved under this name."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def loss_begins(self, passed: LossPass, metrics: Metrics) -> None:
        """The loss of a micro-batch is about to be computed."""

    def loss_computed(self, passed: LossPass, metrics: Metrics) -> None:
        """It has been."""

    def step_ends(self, passed: LossPass, metrics: Metrics) -> None:
        """It was the last one of an optimizer step (or any one of an evaluation); the step itself is still to come."""

    def gradient_computed(self, model: Any, norm: Any, metrics: Metrics) -> None:
        """The gradient is there, clipped, and the optimizer comes next."""

    def log_begins(self, metrics: Metrics) -> None:
        """These are about to be averaged and logged."""

    def log_ends(self, logs: Mapping[str, Any]) -> None:
        """This is what was logged."""

    @property
    def may_be_saved(self) -> bool:
        """Whether the run, as it stands, is one to resume from."""
        return True

    def state_dict(self) -> dict[str, Any]:
        """What must be restored for an exact resume: numbers, text, tensors, and lists and dictionaries of them.

        It belongs to this process; other processes save their own.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
