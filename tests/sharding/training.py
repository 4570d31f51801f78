"""ABCGRPOTrainer on processes that share a model out: run by tests, through `accelerate launch`.

    accelerate launch --config_file … -m tests.sharding.training OUTPUT '{"plain": {"loss_type": "grpo"}}'

The answers are made beforehand (`tests.trl.two_processes`). OUTPUT/NAME-RANK.pt gets what each run found.
"""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import torch

from abcgrpo.errors import UserError
from abcgrpo.trl import ABCGRPOTrainer
from abcgrpo.trl.processes import leave_process_group
from tests.sharding.cpu import allow_cpu_processes
from tests.trl.two_processes import build, weights


class Spoilt(ABCGRPOTrainer):
    """The loss of the second optimizer step is infinite on the second process."""

    def _compute_loss(self, model, inputs):
        loss = super()._compute_loss(model, inputs)
        spoilt = self.state.global_step == 1 and self.accelerator.process_index == 1
        return loss * math.inf if spoilt else loss


def train(name: str, output: Path, resume: str | None = None, spoilt: bool = False, **options: Any) -> None:
    """A run; what this process found goes to its file."""
    folder = str(output / name)
    trainer = build(Spoilt if spoilt else ABCGRPOTrainer, use_cpu=False, output_dir=folder, **options)
    error = None
    try:
        trainer.train(resume_from_checkpoint=resume)
    except UserError as raised:
        error = str(raised)
    engine = trainer.model_wrapped
    found = {
        "processes": trainer.accelerator.num_processes,
        "kind": str(trainer.accelerator.distributed_type),
        "engine": type(engine).__name__,
        "stage": engine.zero_optimization_stage() if hasattr(engine, "zero_optimization_stage") else None,
        "numbers_here": sum(_held_here(weight) for weight in engine.parameters()),
        "after": weights(engine),
        "logs": [entry for entry in trainer.state.log_history if "loss" in entry],
        "error": error,
    }
    torch.save(found, output / f"{name}-{trainer.accelerator.process_index}.pt")


def _held_here(weight: Any) -> int:
    """How many numbers of a weight this process keeps between passes."""
    if hasattr(weight, "ds_tensor"):
        return weight.ds_tensor.numel()
    return (weight.to_local() if hasattr(weight, "to_local") else weight).numel()


def main(output: Path, runs: dict[str, dict[str, Any]]) -> None:
    for name, options in runs.items():
        train(name, output, **options)


if __name__ == "__main__":
    allow_cpu_processes()
    try:
        main(Path(sys.argv[1]), json.loads(sys.argv[2]))
        if "RANK" in os.environ:
            torch.distributed.barrier()  # the other process may still need this one
    finally:
        leave_process_group()
