"""Exact resume: a run that is killed and resumed ends as one that was never stopped.

The host saves weights, optimizer, scheduler, random states and its own counters. What it leaves out between a rollout
and its mini-batches is saved beside them: the buffered rollout and the place in it (`position`), and the states of the
trainer's components. On resuming, the order of the data of later epochs is restored too.

`resume` is the trainer's component and `host` tells it what TRL does; `checkpoints` writes directories whole or not at
all, `configuration` says of which run one is, `packing` writes states without executable code, `signals` turns SIGTERM
into the end of a step.
"""

from abcgrpo.trl.resume.host import ResumableGRPOTrainer
from abcgrpo.trl.resume.resume import Resume

__all__ = ["ResumableGRPOTrainer", "Resume"]
