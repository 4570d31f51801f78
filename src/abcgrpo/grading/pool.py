"""Worker processes that never hang their owner.

The owner uses no signals, no threads, no `multiprocessing`: workers are plain subprocesses (a fresh interpreter, so a
CUDA context, an event loop or a daemonic parent does not matter), and the calling thread itself waits for them. Limits
are enforced by the kernel inside the worker (see `worker`); the owner's deadline is a last resort for a worker that
is stopped or stuck. A comparison that the wall clock ended before its CPU time was used is tried again, with six times
the patience: a busy machine is not a hard answer.
"""

import atexit
import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from abcgrpo.grading.worker import receive, send

logger = logging.getLogger(__name__)

Outcome = Literal["equal", "different", "timeout", "killed"]

_WALL_CLOCK_FACTORS = (10, 60)
"""The wall-clock backstop of the first and the second try, as multiples of the limit on CPU time."""
_START_SECONDS = 180.0
_GRACE_SECONDS = 5.0
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from abcgrpo.grading.worker import main; main(int(sys.argv[2]), sys.argv[3])"
)


@dataclass(frozen=True, slots=True)
class EquivalenceCheck:
    """Whether an answer is equivalent to a gold, which only algebra can tell."""

    gold: str
    answer: str


Work = Any
"""A dataclass of what JSON has: `EquivalenceCheck`, or another service's."""


class WorkerPool:
    """Workers, started when first needed and shared by all threads of this process.

    Args:
        workers: at most so many; by default one for each CPU that this process may use, 8 at most.
        cpu_seconds: CPU time for one comparison, counted from the worker's start of it. The wall clock's backstop is
            ten times that; where it strikes first, a second try has 60 times that.
        memory_bytes: what one comparison may allocate beyond what a worker has loaded.
        service: the module that does the work (see `worker.main`), and what it is called for errors.

    Raises:
        ValueError: a limit that is not positive.
    """

    def __init__(
        self,
        workers: int | None = None,
        cpu_seconds: float = 2.0,
        memory_bytes: int = 512 << 20,
        service: str = "abcgrpo.grading.symbolic",
    ) -> None:
        self.workers = min(8, available_cpus()) if workers is None else workers
        self.cpu_seconds, self.memory_bytes, self.service = cpu_seconds, memory_bytes, service
        for name, value in (
            ("workers", self.workers),
            ("cpu_seconds", cpu_seconds),
            ("memory_bytes", memory_bytes),
        ):
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value!r}")
        self._changed = threading.Condition()
        self._idle: list[_Worker] = []
        self._owned = 0  # idle workers and those that callers hold
        self._waiting = 0
        self._owner = os.getpid()
        atexit.register(self.close)

    def run(self, work: Sequence[Work], progress: Callable[[int], None] | None = None) -> list[Any]:
        """The outcomes, in the order of the work: what the service gave, "timeout" or "killed".

        It blocks the calling thread, and no other.

        `progress` is called with the number of pieces of work done, after each.

        Raises:
            RuntimeError: a worker cannot start, for instance where sympy is not installed.
        """
        if os.getpid() != self._owner:
            self._forget()
        outcomes: list[Any] = ["killed"] * len(work)
        if not work:
            return outcomes
        waiting = deque(range(len(work)))
        starved: set[int] = set()
        held = self._borrow(len(work))
        done = 0
        try:
            while done < len(work):
                for worker in held:
                    while waiting and worker.ready and worker.position is None:
                        factor = _WALL_CLOCK_FACTORS[waiting[0] in starved]
                        if worker.start(waiting[0], work[waiting[0]], self.cpu_seconds, factor * self.cpu_seconds):
                            waiting.popleft()
                for worker, ending in self._wait(held):
                    position = worker.position
                    worker.position = None
                    if position is None:
                        continue
                    if ending == "starved" and position not in starved:
                        starved.add(position)
                        waiting.append(position)
                        logger.info("a comparison got no CPU time within its wall-clock limit: it is tried again")
                        continue
                    outcomes[position] = "timeout" if ending == "starved" else ending
                    done += 1
                    if progress:
                        progress(done)
                    if (self._waiting and len(held) > 1) or len(held) > len(work) - done:
                        held.remove(worker)
                        self._give_back([worker])
        finally:
            self._give_back(held)
        return outcomes

    def close(self) -> None:
        """Kill the idle workers. The pool can be used again afterwards, and starts new ones."""
        if os.getpid() != self._owner:
            return
        with self._changed:
            idle, self._idle = self._idle, []
            self._owned -= len(idle)
        for worker in idle:
            worker.kill()

    def _borrow(self, wanted: int) -> "list[_Worker]":
        """Between one and `wanted` workers; waits while other threads hold all of them."""
        with self._changed:
            self._waiting += 1
            while not self._idle and self._owned >= self.workers:
                self._changed.wait()
            self._waiting -= 1
            held = [self._idle.pop() for _ in range(min(wanted, len(self._idle)))]
            new = min(wanted - len(held), self.workers - self._owned)
            self._owned += new
        try:
            held += [_Worker(self.memory_bytes, self.service) for _ in range(new)]
        except BaseException:
            with self._changed:
                self._owned -= new
            self._give_back(held)
            raise
        return held

    def _give_back(self, workers: "list[_Worker]") -> None:
        spent = [worker for worker in workers if worker.position is not None or worker.failed]
        for worker in spent:
            worker.kill()
        with self._changed:
            self._idle += [worker for worker in workers if worker not in spent]
            self._owned -= len(spent)
            self._changed.notify_all()

    def _wait(self, held: "list[_Worker]") -> "list[tuple[_Worker, Any]]":
        """The workers that finished, after waiting for at least one event; the dead are replaced in place."""
        with selectors.DefaultSelector() as selector:
            for worker in held:
                selector.register(worker.replies, selectors.EVENT_READ, worker)
            deadlines = [worker.deadline for worker in held if worker.deadline is not None]
            patience = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
            events = [key.data for key, _ in selector.select(patience)]
        finished: list[tuple[_Worker, Any]] = []
        for worker in events:
            message = worker.receive()
            if message is None:
                finished.append((worker, "killed"))
                worker.restart()
            elif "failed" in message:
                worker.failed = True
                raise RuntimeError(f"a grading worker cannot start: {message['failed']}")
            elif "ready" in message:
                worker.ready, worker.deadline = True, None
            elif message["request"] == worker.request:
                worker.deadline = None
                finished.append((worker, message["outcome"]))
        for worker in held:
            if worker.deadline is not None and time.monotonic() > worker.deadline:
                if not worker.ready:
                    worker.failed = True
                    raise RuntimeError(f"a grading worker did not start within {_START_SECONDS:.0f} s")
                finished.append((worker, "starved"))
                worker.restart()
        return finished

    def _forget(self) -> None:
        """In a forked child: the parent's workers are not ours to use or to kill."""
        self._changed = threading.Condition()
        self._idle, self._owned, self._waiting, self._owner = [], 0, 0, os.getpid()


class _Worker:
    """One subprocess and what it is at. Used by one thread at a time."""

    def __init__(self, memory_bytes: int, service: str) -> None:
        self.memory_bytes, self.service = memory_bytes, service
        self.position: int | None = None  # of its work, in the caller's list
        self.request = 0  # counts up, so that a late reply is told from the one that is waited for
        self.failed = False
        self._failures = 0
        self._launch()

    def _launch(self) -> None:
        environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), str(self.memory_bytes), self.service],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environment,
            start_new_session=True,  # Ctrl-C is the owner's affair, and the whole group can be killed
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self.replies = self._process.stdin.fileno(), self._process.stdout.fileno()
        self.ready = False
        self.deadline: float | None = time.monotonic() + _START_SECONDS

    def start(self, position: int, work: Work, cpu_seconds: float, wall_seconds: float) -> bool:
        """Hand over work, with its limits; False where the worker had died in the meantime and is being replaced."""
        self.request += 1
        message = {"request": self.request, "work": asdict(work)}
        try:
            send(self._requests, {**message, "cpu_seconds": cpu_seconds, "wall_seconds": wall_seconds})
        except BrokenPipeError:
            self.restart()
            return False
        self.position = position
        self.deadline = time.monotonic() + wall_seconds + _GRACE_SECONDS
        return True

    def receive(self) -> dict[str, Any] | None:
        message = receive(self.replies)
        if message is not None:
            self._failures = 0
        return message

    def restart(self) -> None:
        """Replace the process.

        Raises:
            RuntimeError: it has died three times without a word.
        """
        self.kill()
        self._failures += 1
        if self._failures > 3:
            self.failed = True
            raise RuntimeError("grading workers die as soon as they start")
        self._launch()

    def kill(self) -> None:
        """SIGKILL to the worker and its child."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def available_cpus() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_shared: WorkerPool | None = None
_shared_lock = threading.Lock()


def shared_pool() -> WorkerPool:
    """The pool that this process uses where none is named."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = WorkerPool()
        return _shared
