"""Whole runs of countdown, training and evaluation, as they were and as they are: CPU seconds, in turns.

    python timings/runs.py --repeat 2 --json runs.json

- "trl": TRL's own loss, update and rollout, `transformers`' loop in evaluation, each command in a process that loads
  everything anew. Only with `--trl`.
- "before": the fast update, and all else as in "trl".
- "now": as `abcgrpo run` does it.

A run is one arm of `countdown-study` with one seed: `train`, then `evaluate` of three checkpoints. What the fork server
takes to load is given by itself: it is paid once for all runs of an experiment.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil

from abcgrpo.experiments.jobs.job import Job, Worker
from abcgrpo.experiments.specification import Arm, Experiment, read_experiment

BECOME = "--become"
STOCK = {"update": "stock", "generation": "stock"}
ARMS = {
    "trl": Arm(objective="trl", training=STOCK | {"epsilon": 0.2}),
    "before": Arm(rule="grpo", training={"generation": "stock"}),
    "now": Arm(rule="grpo"),
}


def spent() -> float:
    """CPU seconds of everything that this process has started so far, and of what those have started and waited for."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = [child.cpu_times() for child in psutil.Process().children()]
    return ended.ru_utime + ended.ru_stime + sum(t.user + t.system + t.children_user + t.children_system for t in alive)


@dataclass
class Timed(Worker):
    """Adds up the CPU seconds of each command."""

    seconds: dict[str, float] = field(default_factory=dict)

    def command(self, job, place, *arguments):
        start = spent()
        self.start(job, place, *arguments)
        self.seconds[arguments[0]] = self.seconds.get(arguments[0], 0.0) + spent() - start

    def start(self, job, place, *arguments):
        super().command(job, place, *arguments)


@dataclass
class Anew(Timed):
    """Each command in a process that loads everything, evaluation by `transformers`' own loop."""

    def start(self, job, place, *arguments):
        with (job.directory / "log.txt").open("a") as log:
            command = [sys.executable, __file__, BECOME, *arguments]
            subprocess.run(command, env=os.environ | place, stdout=log, stderr=log, check=True)


def become(arguments: list[str]) -> None:
    """The command, with `transformers`' own loop in evaluation."""
    from abcgrpo.cli import main
    from abcgrpo.evaluation.samplers import local

    local.fast_generation = lambda model: nullcontext()
    sys.argv = ["abcgrpo", *arguments]
    main()


def run(experiment: Experiment, name: str, seed: int, folder: Path) -> dict[str, float]:
    """CPU seconds of `train` and `evaluate` of one run."""
    directory = folder / name / str(seed)
    recipe = experiment.recipe(name, seed, str(directory / "training"))
    worker = (Timed if name == "now" else Anew)(experiment)
    worker.do(Job(name, directory, recipe.to_flat()), {"OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"]})
    return worker.seconds | {"all": sum(worker.seconds.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=2, help="runs of each")
    parser.add_argument("--steps", type=int, default=240, help="optimizer steps; `countdown-study` has 240")
    parser.add_argument("--trl", action="store_true", help="also TRL's own loss, update and rollout")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    shape = read_experiment("countdown-study")
    names = [name for name in ARMS if options.trl or name != "trl"]
    training = shape.training | {"max_steps": options.steps, "save_steps": max(options.steps // 3, 1)}
    experiment = shape.model_copy(update={"arms": {name: ARMS[name] for name in names}, "training": training})
    with tempfile.TemporaryDirectory() as folder:
        loaded = Job("loading", Path(folder))
        start = spent()
        Worker(experiment).command(loaded, {}, "rules")
        loading = spent() - start
        turns = []
        for turn in range(options.repeat):
            order = names if turn % 2 else names[::-1]
            turns.append({name: run(experiment, name, turn, Path(folder)) for name in order})
            print(json.dumps(turns[-1]), file=sys.stderr, flush=True)
    figures = {"steps": options.steps, "loading_once": loading, "turns": turns}
    figures["cpu_seconds"] = {
        name: {part: statistics.median(turn[name][part] for turn in turns) for part in turns[0][name]} for name in names
    }
    figures["runs_per_core_hour"] = {name: 3600 / parts["all"] for name, parts in figures["cpu_seconds"].items()}
    figures["ratio"] = {
        name: statistics.median(turn[name]["all"] / turn["now"]["all"] for turn in turns) for name in names
    }
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == [BECOME]:
        become(sys.argv[2:])
    else:
        main()
