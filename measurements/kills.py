"""Kills a countdown run at random moments, lets it go on, and compares it with one that was never disturbed.

    python measurements/kills.py --kills 20
    python measurements/kills.py --kills 5 --processes 2

Half of the kills (SIGKILL) come at a random time after the run has made progress, the others at a random one of its
file operations in the run's directory, which are those of writing a checkpoint, mostly. What must be equal in the end:
the weights, bit for bit, and the history of metrics, timings apart. The processes are forked from one that has done
nothing but load the libraries, which takes longer than the run.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abcgrpo.run_files import METRICS
from abcgrpo.training.recipe import recipe_from_flat
from abcgrpo.training.run import train
from abcgrpo.trl.resume.checkpoints import STAGING, newest_complete

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["abcgrpo.training.run", "torch._dynamo"])

RECIPE: dict[str, Any] = {
    "model_name_or_path": "countdown-base",
    "num_problems": 20,  # two rollouts an epoch: the order of later epochs counts
    "steps_per_generation": 4,
    "gradient_accumulation_steps": 2,
    "num_iterations": 2,
    "num_generations": 4,
    "max_completion_length": 16,
    "max_steps": 18,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "cosine",
    "bf16": False,
    "use_cpu": True,
    "gradient_checkpointing": False,
    "dataloader_pin_memory": False,
    "logging_steps": 2,  # a checkpoint may hold sums that are not logged yet
    "save_steps": 6,
    "save_only_model": True,
    "resume_minutes": 0,  # a state after every step
}
ROWS = 8
"""Per micro-batch, over all processes."""
TIMINGS = ("step_time", "train_runtime", "train_samples_per_second", "train_steps_per_second")


@dataclass
class Kill:
    """When a session of a run ends."""

    seconds: float | None = None
    """So long after it has made progress."""
    operation: int | None = None
    """At this one of its file operations in the run's directory."""


def session(output: Path, processes: int, kill: Kill | None = None, **fields: Any) -> bool:
    """Train until the end, or until the kill; `fields` change the recipe. Returns whether the run was finished.

    Raises:
        RuntimeError: it ended in another way.
    """
    port = free_port()
    before = progress(output)
    children = [start(output, rank, processes, port, kill, **fields) for rank in range(processes)]
    deadline = None
    while any(child.exitcode is None for child in children):
        if kill and kill.seconds is not None and deadline is None and progress(output) != before:
            deadline = time.monotonic() + kill.seconds
        gone = any(child.exitcode not in (None, 0) for child in children)
        if gone or (deadline is not None and time.monotonic() > deadline):
            for child in children:  # as a launcher does when one of its processes has died
                child.kill()
        time.sleep(0.005)
    codes = {child.exitcode for child in children}
    if codes != {0} and (kill is None or -signal.SIGKILL not in codes):  # who loses its partner may end by itself
        raise RuntimeError(f"a session ended with {codes}")
    return codes == {0}


def start(output: Path, rank: int = 0, processes: int = 1, port: int = 0, kill: Kill | None = None, **fields: Any):
    """A process that trains, as a rank of several; `fields` change the recipe."""
    child = FORKS.Process(target=_train, args=(output, rank, processes, port, kill, fields))
    child.start()
    return child


def _train(output: Path, rank: int, processes: int, port: int, kill: Kill | None, fields: dict[str, Any]) -> None:
    if processes > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if kill and kill.operation is not None and rank == 0:
        die_at_operation(output, kill.operation)
    batch = {"per_device_train_batch_size": ROWS // processes, "output_dir": str(output)}
    train(recipe_from_flat(RECIPE | batch | fields, "kills"))


def die_at_operation(directory: Path, number: int) -> None:
    """End this process with SIGKILL at its `number`-th file operation in `directory`."""
    prefix, left = str(directory), [number]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir") and prefix in str(arguments[0]):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def progress(output: Path) -> int:
    """What the run can be seen to have done: the step of its newest state."""
    state = newest_complete(output)
    return 0 if state is None else int(state.name.rpartition("-")[2])


def compare(output: Path, undisturbed: Path) -> list[str]:
    """What differs between two finished runs; empty if nothing does."""
    found = []
    weights = sorted(undisturbed.glob("checkpoint-*/*.safetensors"))
    if not weights:
        found.append("there are no weights")
    for name in (str(path.relative_to(undisturbed)) for path in weights):
        if (output / name).read_bytes() != (undisturbed / name).read_bytes():
            found.append(f"{name} differs")
    ours, theirs = history(output), history(undisturbed)
    if len(ours) != len(theirs):
        found.append(f"{len(ours)} lines of metrics instead of {len(theirs)}")
    for one, other in zip(ours, theirs, strict=False):
        changed = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
        if changed:
            found.append(f"step {one['step']}: {', '.join(changed)}")
    return found


def history(output: Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl` without timings."""
    lines = [json.loads(line) for line in (output / METRICS).read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMINGS} for line in lines]


def kill_repeatedly(output: Path, kills: int, processes: int, seed: int, **fields: Any) -> list[dict[str, Any]]:
    """A run that is killed so often and then goes on to its end; what each kill met. `fields` change the recipe."""
    moments = random.Random(seed)
    met: list[dict[str, Any]] = []
    while len(met) < kills:
        by_time = len(met) % 2 == 0
        kill = Kill(seconds=moments.uniform(0, 0.6)) if by_time else Kill(operation=moments.randrange(120))
        start = progress(output)
        if session(output, processes, kill, **fields):
            break
        met.append(
            {
                "by": "time" if by_time else "file operation",
                "from_step": start,
                "to_step": progress(output),
                "writing": any(path.exists() for path in (output / STAGING, output / "resume" / STAGING)),
            }
        )
    if len(met) == kills:
        session(output, processes, **fields)
    return met


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def main() -> None:
    """Print what was killed, and what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    killed, writing = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = Path(folder) / "undisturbed"
        session(undisturbed, arguments.processes)
        differences: list[str] = []
        runs = 0
        while killed < arguments.kills:  # a run that is over before it was killed often enough is followed by another
            output = Path(folder) / f"killed-{runs}"
            met = kill_repeatedly(output, arguments.kills - killed, arguments.processes, arguments.seed + runs)
            for one in met:
                print(one, flush=True)
            killed += len(met)
            writing += sum(one["writing"] for one in met)
            runs += 1
            differences += compare(output, undisturbed)
    print(f"{killed} kills in {runs} runs of {RECIPE['max_steps']} steps, {writing} while a checkpoint was written.")
    print("\n".join(differences) or "Weights bit for bit and metrics as without kills.")
    sys.exit(bool(differences))


if __name__ == "__main__":
    main()
