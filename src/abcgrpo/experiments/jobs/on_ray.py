"""The jobs of an experiment as tasks of Ray, on as many machines as its cluster has.

Every job is a command that can be killed at any moment and resumes exactly. So a task whose machine is lost is tried
again by Ray on another one, and goes on from the last state of its run. All machines read and write the same directory.
"""

import logging
import os
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from abcgrpo.errors import UserError
from abcgrpo.experiments.jobs.job import Job, Worker, in_words
from abcgrpo.experiments.specification import Resources

TRIES_AFTER_LOST_MACHINES = 20
PROBE = ".reached-by"
"""A file that each machine writes to show that it reaches the experiment's directory."""
PROBE_SECONDS = 120


def connect(address: str) -> None:
    """Join the cluster at an address; `auto` is the one that runs on this machine, or that RAY_ADDRESS names.

    Raises:
        UserError: there is none.
    """
    if ray.is_initialized():
        return
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            f"There is no Ray cluster at {address!r}: {str(error).splitlines()[0]} Start one with "
            f"`ray start --head`, and `ray start --address=HEAD:6379` on every other machine."
        ) from error
    finally:
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray puts its own there, which ends with another exit code


def options(resources: Resources) -> dict[str, Any]:
    """What a job asks of Ray."""
    asked: dict[str, Any] = {"num_cpus": resources.cpus or resources.processes, "num_gpus": resources.gpus or 0}
    return asked | ({"memory": int(resources.memory * 2**30)} if resources.memory else {})


def require_placeable(jobs: list[Job]) -> None:
    """Refuse a job that no machine of the cluster could ever hold.

    Raises:
        UserError: one of them; the message says what it asks and what the machines have.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for job in jobs:
        asked = options(job.resources)
        wanted = {"CPU": asked["num_cpus"], "GPU": asked["num_gpus"], "memory": asked.get("memory", 0)}
        if not any(all(machine.get(name, 0) >= value for name, value in wanted.items()) for machine in machines):
            have = "; ".join(map(_in_words, machines))
            raise UserError(
                f"{job.name} asks for {_in_words(wanted)} on one machine, which none of the cluster has ({have}): "
                f"change `resources`."
            )


def _in_words(machine: dict[str, float]) -> str:
    memory = f"{machine.get('memory', 0) / 2**30:.4g} GiB of memory"
    return f"{machine.get('CPU', 0):g} CPUs, {machine.get('GPU', 0):g} GPUs and {memory}"


def require_shared(directory: Path) -> None:
    """Make sure that every machine reads and writes the experiment's directory, before anything starts.

    Raises:
        UserError: a machine that does not; the message names it.
    """
    mark = secrets.token_hex(8)
    probe = directory.absolute() / PROBE
    probe.write_text(mark)
    try:
        for node in [node for node in ray.nodes() if node["Alive"]]:
            where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(_reaches).options(num_cpus=0, scheduling_strategy=where, max_retries=0)
            try:
                found = ray.get(task.remote(str(probe), mark, os.getcwd()), timeout=PROBE_SECONDS)
            except Exception as error:
                found = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            if found is not None or not Path(f"{probe}-{mark}").exists():
                raise UserError(
                    f"The machine {node['NodeManagerAddress']} does not share {directory.absolute()} with this one "
                    f"({found or 'what it wrote is not seen here'}). Give an --output that all machines reach."
                )
            Path(f"{probe}-{mark}").unlink()
    finally:
        probe.unlink()


def _reaches(probe: str, mark: str, directory: str) -> str | None:
    """On another machine: what is wrong there; None if nothing is."""
    try:
        if Path(probe).read_text() != mark:
            return "it reads another file of that name"
        os.chdir(directory)
        Path(f"{probe}-{mark}").write_text(mark)
    except OSError as error:
        return str(error)
    return None


def at_a_time(jobs: list[Job]) -> int:
    """About how many jobs the cluster holds at once, by their CPUs and GPUs."""
    have = ray.cluster_resources()
    asked = options(max((job.resources for job in jobs), key=lambda each: each.cpus or each.processes))
    fits = [have.get("CPU", 1) // asked["num_cpus"]]
    fits += [have.get("GPU", 0) // asked["num_gpus"]] if asked["num_gpus"] else []
    return max(int(min([*fits, len(jobs)])), 1)


def run_jobs(worker: Worker, jobs: list[Job], watch: Callable[[dict[str, bool | str]], None]) -> dict[str, str]:
    """Do the jobs, as many at a time as the cluster holds; the others wait. Returns what went wrong, by job.

    Args:
        worker: does them, on whatever machine.
        jobs: all jobs.
        watch: called twice a second with the jobs that ended: whether there was anything to do, or what went wrong.
    """
    tasks = {}
    for job in jobs:
        asked = job.resources
        place = {"OMP_NUM_THREADS": str(max((asked.cpus or asked.processes) // asked.processes, 1))}
        if not asked.gpus:  # whatever Ray's version shows such a task
            place["CUDA_VISIBLE_DEVICES"] = ""
        task = ray.remote(_do).options(
            **options(asked), max_retries=TRIES_AFTER_LOST_MACHINES, name=f"abcgrpo: {job.name}"
        )
        tasks[task.remote(worker, job, place, os.getcwd())] = job
    failures: dict[str, str] = {}
    ended: dict[str, bool | str] = {}
    waiting = list(tasks)
    try:
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=0)
            for each in done:
                name = tasks[each].name
                try:
                    worked, error = ray.get(each)
                except Exception as lost:  # of Ray itself: the machines were lost too often
                    worked, error = True, in_words(lost)
                ended[name] = error or worked
                if error:
                    failures[name] = error
            watch(ended)
            time.sleep(0.5)  # here, since Ray makes another exit code of a SIGTERM that comes while it waits
    except BaseException:
        for each in waiting:
            ray.cancel(each, force=False)
        deadline = time.monotonic() + 60
        while waiting and time.monotonic() < deadline:  # their commands save where they stand
            _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=1)
        raise
    return failures


def _do(worker: Worker, job: Job, place: dict[str, str], directory: str) -> tuple[bool, str | None]:
    """A job on some machine: whether there was anything to do, and what went wrong.

    What a job says of itself is no failure of Ray's, so that it is not tried again.
    """
    os.chdir(directory)
    try:
        return worker.do(job, place), None
    except Exception as error:
        return True, in_words(error)
