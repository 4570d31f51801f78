"""The verdicts of ordinary answers with and without a load of spinning processes: they must be the same.

    python timings/grading_under_load.py [--answers 2000] [--load 8]

Half of the answers are numbers, half need algebra. The pool is started anew for each of the two passes, so that its
start is under load as well. Exit code 1 if a verdict changes, is wrong, or has met a limit.
"""

import argparse
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from abcgrpo.grading import Verdict, WorkerPool, grade_batch

sys.path.insert(0, str(Path(__file__).parents[1]))
from timings.grading import Pairs, algebra, competition, response


def answers(count: int) -> Pairs:
    draw = random.Random(0)
    return [*competition(count // 2, draw), *algebra(count - count // 2, draw)]


def graded(pairs: Pairs) -> tuple[list[Verdict], float]:
    """The verdicts, and how long they took with the start of the workers."""
    pool = WorkerPool()
    start = time.perf_counter()
    verdicts = grade_batch([response(answer) for _, answer, _ in pairs], [gold for gold, *_ in pairs], pool=pool)
    seconds = time.perf_counter() - start
    pool.close()
    return verdicts, seconds


def under_load(pairs: Pairs, processes: int) -> tuple[list[Verdict], float]:
    """The same, beside processes that do nothing but use CPU time."""
    load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        time.sleep(1.0)
        return graded(pairs)
    finally:
        for process in load:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--answers", type=int, default=2000)
    parser.add_argument("--load", type=int, default=8, help="processes that spin")
    arguments = parser.parse_args()
    pairs = answers(arguments.answers)
    alone, seconds = graded(pairs)
    loaded, loaded_seconds = under_load(pairs, arguments.load)
    changed = sum(one != other for one, other in zip(alone, loaded, strict=True))
    wrong = sum(verdict.correct is not right for verdict, (*_, right) in zip(loaded, pairs, strict=True))
    reasons = Counter(verdict.reason for verdict in loaded)
    print(f"alone: {seconds:.1f} s; beside {arguments.load} processes: {loaded_seconds:.1f} s")
    print(f"of {len(pairs)} verdicts {changed} changed and {wrong} are wrong; {dict(reasons)}")
    sys.exit(bool(changed or wrong or reasons["timeout"] or reasons["killed"]))


if __name__ == "__main__":
    main()
