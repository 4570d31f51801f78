"""Worker processes: limits, kills, callers of all kinds."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from abcgrpo.grading import WorkerPool, accuracy_reward, grade, grade_batch
from abcgrpo.grading.pool import EquivalenceCheck
from abcgrpo.grading.worker import OUT_OF_MEMORY, _outcome

SURD = (r"\boxed{\sqrt{12}}", r"2\sqrt{3}")
ENDLESS = EquivalenceCheck(r"\sqrt{2}", "9^{9^{9^{9}}}")


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(2, cpu_seconds=0.5)
    yield pool
    pool.close()


def processes(pool: WorkerPool) -> list[int]:
    return [worker._process.pid for worker in pool._idle]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def child_of(pid: int) -> int:
    """The child that takes the next comparison: one that was just replaced is not taken for it."""
    while (before := children(pid)) == [] or time.sleep(0.3) or children(pid) != before:
        continue
    return before[0]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def cpu_seconds(pid: int) -> float:
    """What a process has used; 0 once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0.0
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def wait_for(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_the_cpu_limit_strikes_and_the_batch_goes_on(pool: WorkerPool):
    pool.run([EquivalenceCheck("x", "x+1")] * 2)  # started
    before = processes(pool)
    outcomes = pool.run(
        [EquivalenceCheck(r"2\sqrt{3}", r"\sqrt{12}"), ENDLESS, EquivalenceCheck(r"2\sqrt{3}", r"\sqrt{13}"), ENDLESS]
    )
    assert outcomes == ["equal", "timeout", "different", "timeout"]
    assert sorted(processes(pool)) == sorted(before)  # only the children were replaced


@pytest.mark.slow
def test_what_was_starved_is_tried_again(monkeypatch: pytest.MonkeyPatch):
    """A stopped child uses no CPU time and does not get its alarm: its owner kills it; the verdict is right."""
    monkeypatch.setattr("abcgrpo.grading.pool._GRACE_SECONDS", 0.5)
    monkeypatch.setattr("abcgrpo.grading.pool._WALL_CLOCK_FACTORS", (3, 30))
    single = WorkerPool(1, cpu_seconds=0.5)
    single.run([EquivalenceCheck("x", "x+1")])
    (worker,) = processes(single)
    os.kill(child_of(worker), signal.SIGSTOP)
    start = time.monotonic()
    assert single.run([EquivalenceCheck(r"2\sqrt{3}", r"\sqrt{12}"), EquivalenceCheck(r"2\sqrt{3}", r"\sqrt{13}")]) == [
        "equal",
        "different",
    ]
    assert time.monotonic() - start > 2.0
    single.close()


@pytest.mark.slow
def test_the_last_resort_stops_what_uses_no_cpu(monkeypatch: pytest.MonkeyPatch):
    """Where the second try is stopped as well, it ends after its own limit."""
    monkeypatch.setattr("abcgrpo.grading.pool._GRACE_SECONDS", 0.5)
    monkeypatch.setattr("abcgrpo.grading.pool._WALL_CLOCK_FACTORS", (3, 6))
    single = WorkerPool(1, cpu_seconds=0.5)
    single.run([EquivalenceCheck("x", "x+1")])
    (worker,) = processes(single)
    over = threading.Event()

    def stop_all_children() -> None:
        while not over.wait(0.005):
            for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
                try:
                    if b"grading.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(children(int(pid))[0], signal.SIGSTOP)
                except (OSError, IndexError):
                    continue

    stopper = threading.Thread(target=stop_all_children)
    os.kill(child_of(worker), signal.SIGSTOP)
    stopper.start()
    start = time.monotonic()
    assert single.run([ENDLESS]) == ["timeout"]  # its CPU time would be over after half a second
    assert time.monotonic() - start > 5.0
    over.set()
    stopper.join()
    single.close()
    assert single.run([EquivalenceCheck(r"2\sqrt{3}", r"\sqrt{12}")]) == ["equal"]
    single.close()


@pytest.mark.slow
def test_the_wall_clock_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch):
    """A child that is stopped half-way has used 0.3 s of its 1 s of CPU time when its alarm rings, after 3 s.

    Since its CPU time was not used, the comparison is tried again, in a new child, and then uses all of it.
    """
    monkeypatch.setattr("abcgrpo.grading.pool._GRACE_SECONDS", 60.0)
    monkeypatch.setattr("abcgrpo.grading.pool._WALL_CLOCK_FACTORS", (3, 30))
    single = WorkerPool(1, cpu_seconds=1.0)
    single.run([EquivalenceCheck("x", "x+1")])
    (worker,) = processes(single)
    first = child_of(worker)
    before, used = cpu_seconds(first), []

    def stop_and_go_on() -> None:
        wait_for(lambda: cpu_seconds(first) > before + 0.2)
        os.kill(first, signal.SIGSTOP)
        used.append(cpu_seconds(first) - before)
        time.sleep(3.1)
        os.kill(first, signal.SIGCONT)
        wait_for(lambda: gone(first))
        wait_for(lambda: [child for child in children(worker) if child != first])
        (second,) = [child for child in children(worker) if child != first]
        while not gone(second):
            used.append(cpu_seconds(second))
            time.sleep(0.01)

    stopper = threading.Thread(target=stop_and_go_on)
    stopper.start()
    assert single.run([ENDLESS]) == ["timeout"]
    stopper.join()
    assert used[0] < 0.9, "the child was not stopped in time to say anything"
    assert max(used[1:]) > 0.8  # the second try used its CPU time
    assert processes(single) == [worker]
    single.close()


@pytest.mark.parametrize(
    ("code", "used", "outcome"),
    [
        (-signal.SIGPROF, 2.0, "timeout"),
        (-signal.SIGALRM, 0.1, "starved"),
        (-signal.SIGALRM, 2.1, "timeout"),
        (-signal.SIGKILL, 0.1, "killed"),
        (OUT_OF_MEMORY, 0.1, "killed"),
    ],
)
def test_starved_is_what_used_no_cpu_time(code: int, used: float, outcome: str):
    assert _outcome(code, used, cpu_seconds=2.0) == outcome


@pytest.mark.slow
def test_a_killed_child_is_replaced():
    slow = WorkerPool(1, cpu_seconds=30)
    slow.run([EquivalenceCheck("x", "x+1")])
    (worker,) = processes(slow)
    killer = threading.Timer(0.5, lambda: os.kill(child_of(worker), signal.SIGKILL))
    killer.start()
    assert slow.run([ENDLESS, EquivalenceCheck(r"2\sqrt{3}", r"\sqrt{12}")]) == ["killed", "equal"]
    killer = threading.Timer(0.5, lambda: os.killpg(worker, signal.SIGKILL))
    killer.start()
    assert slow.run([ENDLESS, EquivalenceCheck(r"2\sqrt{3}", r"\sqrt{12}")]) == ["killed", "equal"]
    os.killpg(processes(slow)[0], signal.SIGKILL)  # between two batches: nothing is lost
    time.sleep(0.1)
    assert slow.run([EquivalenceCheck(r"2\sqrt{3}", r"\sqrt{12}")]) == ["equal"]
    slow.close()


def test_c_code_that_hangs_or_crashes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A loop in C that no Python signal handler interrupts, and a segmentation fault, in place of algebra."""
    (tmp_path / "sympy.py").write_text(
        textwrap.dedent(
            """
            import ctypes, sys
            del sys.path[0], sys.modules["sympy"]
            import sympy
            subs = sympy.Basic.subs
            def broken(expression, *point, **options):
                letters = {symbol.name for symbol in expression.free_symbols}
                if letters >= set("hang"):
                    sum(range(10**13))
                if letters >= set("crash"):
                    ctypes.string_at(0)
                return subs(expression, *point, **options)
            sympy.Basic.subs = broken
            """
        )
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    pool = WorkerPool(1, cpu_seconds=0.3)
    batch = [EquivalenceCheck("x", answer) for answer in ("hang+1", "1+x", "crash+1", "2+x", "hang+2")]
    assert pool.run(batch) == ["timeout", "different", "killed", "different", "timeout"]
    pool.close()


def test_the_memory_limit():
    """2^(10^10) needs more than a gigabyte; the kernel refuses it at once, and the batch goes on."""
    pool = WorkerPool(1, cpu_seconds=20, memory_bytes=64 << 20)
    assert pool.run(
        [EquivalenceCheck(r"\sqrt{2}", r"2^{10^{10}}+\sqrt{2}"), EquivalenceCheck(r"2\sqrt{3}", r"\sqrt{12}")]
    ) in (
        ["killed", "equal"],
        ["different", "equal"],
    )
    pool.close()


def test_threads_share_the_pool(pool: WorkerPool):
    found: list[list[bool | None]] = []

    def work() -> None:
        found.append([v.correct for v in grade_batch([SURD[0], r"\boxed{1}"] * 5, [SURD[1], "2"] * 5, pool=pool)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[True, False] * 5] * 8
    assert pool._owned == len(pool._idle) <= 2


def test_asyncio_goes_on_while_it_grades(pool: WorkerPool):
    async def work() -> tuple[list[str], int]:
        ticks = 0
        task = asyncio.create_task(asyncio.to_thread(grade, r"\boxed{9^{9^{9^9}}}", r"\sqrt{2}", pool=pool))
        while not task.done():
            await asyncio.sleep(0.02)
            ticks += 1
        return [(await task).reason, grade(*SURD, pool=pool).reason], ticks

    reasons, ticks = asyncio.run(work())
    assert reasons == ["timeout", "equivalent"]
    assert ticks > 5


def test_the_callers_signals_are_left_alone(pool: WorkerPool):
    seen: list[int] = []
    previous = signal.signal(signal.SIGALRM, lambda signum, frame: seen.append(signum))
    handlers = {s: signal.getsignal(s) for s in (signal.SIGCHLD, signal.SIGPROF, signal.SIGINT, signal.SIGTERM)}
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        grade(r"\boxed{9^{9^{9^9}}}", r"\sqrt{2}", pool=pool)
        assert seen == [signal.SIGALRM]
        assert handlers == {s: signal.getsignal(s) for s in handlers}
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_inside_a_reward_call_of_a_thread():
    rewards: list[list[float | None]] = []
    thread = threading.Thread(target=lambda: rewards.append(accuracy_reward([SURD[0]] * 2, answer=[SURD[1], "7"])))
    thread.start()
    thread.join()
    assert rewards == [[1.0, 0.0]]


def _grade_in_child(connection) -> None:
    connection.send(grade(*SURD).reason)


def test_inside_a_daemonic_process_and_a_fork():
    """Daemonic processes may have no `multiprocessing` children; a fork inherits a pool that is not its own."""
    assert grade(*SURD).reason == "equivalent"
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_grade_in_child, args=(sender,), daemon=True)
    process.start()
    assert receiver.poll(60)
    assert receiver.recv() == "equivalent"
    process.join()
    assert grade(*SURD).reason == "equivalent"


@pytest.mark.slow
@pytest.mark.parametrize("computing", [False, True])
def test_workers_die_with_their_owner(computing: bool):
    program = textwrap.dedent(
        """
        import threading, time
        from abcgrpo.grading.pool import EquivalenceCheck, WorkerPool
        pool = WorkerPool(1, cpu_seconds=1)
        pool.run([EquivalenceCheck("x", "x+1")])
        print(pool._idle[0]._process.pid, flush=True)
        if COMPUTING:
            pool.run([EquivalenceCheck("\\\\sqrt{2}", "9^{9^{9^{9}}}")] * 50)
        time.sleep(60)
        """
    ).replace("COMPUTING", str(computing))
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    worker = int(owner.stdout.readline())
    child = child_of(worker)
    time.sleep(0.3)
    owner.kill()
    owner.wait()
    wait_for(lambda: gone(worker) and gone(child))


def test_an_interrupted_batch_leaves_a_usable_pool(pool: WorkerPool):
    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pool.run([EquivalenceCheck("x", "x+1"), ENDLESS, ENDLESS], progress=interrupt)
    assert pool._owned == len(pool._idle)
    assert grade(*SURD, pool=pool).correct


def test_a_worker_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "sympy.py").write_text("raise ImportError('no algebra here')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    pool = WorkerPool(1)
    with pytest.raises(RuntimeError, match="no algebra here"):
        grade(*SURD, pool=pool)
    assert pool._owned == len(pool._idle) == 0
    assert grade(r"\boxed{0.5}", "1/2", pool=pool).correct  # exact comparisons need no worker


@pytest.mark.parametrize("setting", [{"workers": 0}, {"cpu_seconds": 0.0}, {"memory_bytes": -1}])
def test_limits_must_be_positive(setting: dict):
    with pytest.raises(ValueError, match=next(iter(setting))):
        WorkerPool(**setting)


def test_neither_torch_nor_algebra_is_imported_here():
    program = (
        "import sys, abcgrpo.grading; print([m for m in ('torch', 'sympy', 'math_verify', 'rich') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
