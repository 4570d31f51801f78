"""Run by torchrun on two processes: the fast update against stock TRL; each writes a JSON file.

Rank 1 has no row with signal in the whole rollout, so without an exchange it would have nothing to do.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from torch import distributed
from trl import GRPOTrainer

from abcgrpo.trl import FastGRPOTrainer
from abcgrpo.trl.processes import leave_process_group
from tests.trl.update.canned import GROUP, largest_difference, rollouts, train, update_difference


class Fast(FastGRPOTrainer):
    """The update alone."""

    def observers(self):
        return []


class Alone(Fast):
    """Rows stay on their rank."""

    loss_depends_on_cut = True


def counting_calls(host: type) -> type:
    class Counting(host):
        calls = 0

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.model.register_forward_pre_hook(lambda *_: setattr(self, "calls", self.calls + 1))

    return Counting


def main(loss: str, reports: Path) -> None:
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    rows = rollouts(1, 16, zero=0.25, seed=5)[0]
    mine = rows[rank * len(rows) // 2 : (rank + 1) * len(rows) // 2]
    if rank == 1:
        for row in mine:
            row.reward = 1.0
    folder = tempfile.mkdtemp()
    stock = train(counting_calls(GRPOTrainer), [mine], folder=folder, loss_type=loss)
    report = {"rank": rank, "world_size": stock.trainer.accelerator.num_processes, "ranks": ranks}
    report["silent"] = all(len({r.reward for r in mine[i : i + GROUP]}) == 1 for i in range(0, len(mine), GROUP))
    for name, host in (("fast", Fast), ("alone", Alone)):
        run = train(counting_calls(host), [mine], folder=folder, loss_type=loss)
        report[name] = {
            "gradients": largest_difference(run.gradients, stock.gradients),
            "updates": update_difference(run, stock),
            "calls": run.trainer.calls,
            "positions": run.positions["grad"],
            "active_rows": [entry["update/active_rows"] for entry in run.logs],
        }
    (reports / f"{rank}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]))
        distributed.barrier()  # the other rank may still need this one
    finally:
        leave_process_group()
