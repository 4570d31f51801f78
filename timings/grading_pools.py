"""This project's worker pool beside pebble and loky, on hostile answers among ordinary ones.

    pip install pebble loky
    python timings/grading_pools.py [--json FILE]

All three get the same comparisons (those that the exact stage leaves open) and two workers; pebble and loky have no
limit on CPU time, and get the same number of seconds of wall clock. All replace the worker that ran past its limit.
"""

import argparse
import json
import resource
import sys
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from abcgrpo.grading.exact import compare
from abcgrpo.grading.extraction import extract_answer
from abcgrpo.grading.grader import gold_text
from abcgrpo.grading.pool import EquivalenceCheck, WorkerPool

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.grading import hostile

SECONDS, WORKERS, MEMORY = 2.0, 2, 512 << 20


def checks(hostile_of_each_kind: int, ordinary: int) -> list[tuple[EquivalenceCheck, bool]]:
    """The comparisons that need a worker, and whether each is hostile; the two kinds evenly mixed."""
    attacks = [(make(n), hostile.GOLD) for n in range(hostile_of_each_kind) for make in hostile.KINDS.values()]
    groups: list[list[tuple[EquivalenceCheck, bool]]] = []
    for pairs, is_hostile in ((hostile.ordinary_pairs(ordinary), False), (attacks, True)):
        texts = [(gold_text(gold) or "", extract_answer(response)) for response, gold in pairs]
        groups.append(
            [(EquivalenceCheck(g, a), is_hostile) for g, a in texts if a is not None and compare(g, a) is None]
        )
    plain, bad = groups
    step = max(1, len(plain) // len(bad))
    return [job for n, attack in enumerate(bad) for job in [*plain[n * step : (n + 1) * step], attack]]


def limit_memory() -> None:
    from abcgrpo.grading import symbolic

    symbolic.warm_up()
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def work(gold: str, answer: str) -> str:
    from abcgrpo.grading import symbolic

    try:
        return "equal" if symbolic.equivalent(gold, answer) else "different"
    except MemoryError:
        return "killed"
    except Exception:
        return "different"


def own(batch: list[EquivalenceCheck]) -> list[str]:
    pool = WorkerPool(WORKERS, SECONDS, MEMORY)
    outcomes = list(pool.run(batch))
    pool.close()
    return outcomes


def pebble(batch: list[EquivalenceCheck]) -> list[str]:
    from multiprocessing import get_context

    from pebble import ProcessPool

    outcomes: list[str] = []
    with ProcessPool(WORKERS, initializer=limit_memory, context=get_context("spawn")) as pool:
        futures = [pool.schedule(work, args=(job.gold, job.answer), timeout=SECONDS) for job in batch]
        for future in futures:
            try:
                outcomes.append(future.result())
            except TimeoutError:
                outcomes.append("timeout")
            except Exception:
                outcomes.append("killed")
    return outcomes


def loky(batch: list[EquivalenceCheck]) -> list[str]:
    """loky has no limit for a task: the owner waits, kills all workers and starts anew with what is left."""
    from loky import get_reusable_executor

    outcomes: list[str | None] = [None] * len(batch)
    while None in outcomes:
        executor = get_reusable_executor(WORKERS, initializer=limit_memory, kill_workers=True)
        executor.submit(work, "x", "x+1").result()  # started
        left = [n for n, outcome in enumerate(outcomes) if outcome is None]
        futures = {n: executor.submit(work, batch[n].gold, batch[n].answer) for n in left}
        for n in left:
            try:
                outcomes[n] = futures[n].result(timeout=SECONDS)
            except TimeoutError:
                outcomes[n] = "timeout"
                executor.shutdown(kill_workers=True)
                break
            except Exception:
                outcomes[n] = "killed"
                break
    return [outcome or "killed" for outcome in outcomes]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--hostile", type=int, default=2, help="of each kind")
    parser.add_argument("--ordinary", type=int, default=300)
    arguments = parser.parse_args()
    mixed = checks(arguments.hostile, arguments.ordinary)
    batch = [job for job, _ in mixed]
    print(f"{len(batch)} comparisons, {sum(bad for _, bad in mixed)} of them hostile")
    results = {}
    for name, run in (("own", own), ("pebble", pebble), ("loky", loky)):
        start = time.perf_counter()
        outcomes = run(batch)
        seconds = time.perf_counter() - start
        ordinary = Counter(outcome for outcome, (_, bad) in zip(outcomes, mixed, strict=True) if not bad)
        attacks = Counter(outcome for outcome, (_, bad) in zip(outcomes, mixed, strict=True) if bad)
        results[name] = {"seconds": round(seconds, 1), "ordinary": dict(ordinary), "hostile": dict(attacks)}
        results[name]["version"] = version(name) if name != "own" else ""
        print(name, results[name])
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
