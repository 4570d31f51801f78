"""The worker process: reads comparisons from its standard input, answers on its standard output.

Started by `pool` as a fresh interpreter. It loads what the work needs once (computer algebra) and then forks a child
that does the work; whenever the child dies, it says so and forks the next one, which takes milliseconds. The kernel
enforces the child's limits, inside C code too, with the default actions of two interval timers: SIGPROF for CPU time,
SIGALRM for the wall clock, both counted from the moment the child starts on a comparison, and an address-space limit.
A comparison that the wall clock ended before its CPU time was used is `starved`, which says that the machine was
busy, not that the answer is hard. When the process that started the worker goes away, reading gives end-of-file and
the worker ends.

A message is a 4-byte length and that many bytes of JSON in ASCII, which carries NUL and lone surrogates unharmed.
"""

import contextlib
import json
import mmap
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

OUT_OF_MEMORY = 3
RETIRED = 4
_CURRENT = "qdd"
_GROWTH_BEFORE_RETIRING = 96 << 20
"""A child whose memory grew by this much (caches) is replaced between two comparisons, far from its limit."""


def main(memory_bytes: int, service: str) -> None:
    """Serve until standard input ends.

    Args:
        memory_bytes: what one child may allocate beyond what is loaded.
        service: a module with `warm_up()`, which loads what is needed, and `perform(work)`, which gives its
            outcome as something that JSON has.
    """
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)  # so that no library's chatter mixes with the replies
    try:
        module = import_module(service)
        module.warm_up()
    except Exception as error:
        send(replies, {"failed": f"{type(error).__name__}: {error}"})
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Shared with the child: which request it is at (0 for none), its limit, its CPU time when it began.
    current = mmap.mmap(-1, struct.calcsize(_CURRENT))
    send(replies, {"ready": os.getpid()})
    while True:
        current[:] = struct.pack(_CURRENT, 0, 0.0, 0.0)
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
                os._exit(_serve(requests, replies, memory_bytes, current, module.perform))
            os._exit(0)
        _, status, usage = os.wait4(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return
        request, cpu_seconds, before = struct.unpack(_CURRENT, current[:])
        if request:
            used = usage.ru_utime + usage.ru_stime - before
            send(replies, {"request": request, "outcome": _outcome(code, used, cpu_seconds)})


def _outcome(code: int, used: float, cpu_seconds: float) -> str:
    """What became of a comparison during which the child ended with this exit code."""
    if code == -signal.SIGALRM:
        return "starved" if used < cpu_seconds else "timeout"
    return "timeout" if code == -signal.SIGPROF else "killed"


def _serve(
    requests: int, replies: int, memory_bytes: int, current: mmap.mmap, perform: Callable[[dict[str, Any]], Any]
) -> int:
    """The child: one request after another. Returns its exit code."""
    for signum in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF, signal.SIGALRM})
    loaded = _memory()
    resource.setrlimit(resource.RLIMIT_AS, (loaded + memory_bytes, loaded + memory_bytes))
    while (message := receive(requests)) is not None:
        cpu_seconds = message["cpu_seconds"]
        current[:] = struct.pack(_CURRENT, message["request"], cpu_seconds, time.process_time())
        signal.setitimer(signal.ITIMER_REAL, message["wall_seconds"])
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            outcome = perform(message["work"])
        except MemoryError:
            return OUT_OF_MEMORY
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        send(replies, {"request": message["request"], "outcome": outcome})
        current[:] = struct.pack(_CURRENT, 0, 0.0, 0.0)
        if _memory() > loaded + _GROWTH_BEFORE_RETIRING:
            return RETIRED
    return 0


def send(descriptor: int, message: dict[str, Any]) -> None:
    """Write one message."""
    body = json.dumps(message).encode("ascii")
    data = memoryview(struct.pack("!I", len(body)) + body)
    while data:
        data = data[os.write(descriptor, data) :]


def receive(descriptor: int) -> dict[str, Any] | None:
    """Read one message; None at the end of the file."""
    header = _read(descriptor, 4)
    body = _read(descriptor, struct.unpack("!I", header)[0]) if len(header) == 4 else b""
    return json.loads(body) if body else None


def _read(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := os.read(descriptor, size - len(data))):
        data += piece
    return data if len(data) == size else b""


def _memory() -> int:
    """The size of this process's address space, in bytes."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:  # no /proc: the largest resident size so far stands in for it
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else largest * 1024
