"""Two hundred hostile answers among a thousand."""

import resource
import sys
from collections import Counter

import pytest

from abcgrpo.grading import WorkerPool, grade_batch
from abcgrpo.grading.extraction import extract_answer
from tests.grading import hostile


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory in /proc")
def test_the_batch_ends_and_the_ordinary_verdicts_are_the_same():
    pairs = hostile.ordinary_pairs(800)
    attacks = [(response, hostile.GOLD) for response in hostile.hostile_responses()]
    assert (len(hostile.KINDS), len(attacks)) == (20, 200)
    mixed: list[tuple[str, object]] = []
    for n in range(200):
        mixed += [*pairs[4 * n : 4 * n + 4], attacks[n]]
    pool = WorkerPool(cpu_seconds=0.5)  # of CPU time, so that ordinary answers keep it on a busy machine
    try:
        alone = grade_batch([r for r, _ in pairs], [g for _, g in pairs], pool=pool)
        before = resident()
        verdicts = grade_batch([r for r, _ in mixed], [g for _, g in mixed], pool=pool)
        assert resident() - before < 50 << 20
    finally:
        pool.close()
    ordinary = [verdict for n, verdict in enumerate(verdicts) if n % 5 != 4]
    assert ordinary == alone
    assert [verdict.correct for verdict in ordinary] == [n % 4 != 3 for n in range(800)]
    reasons = Counter(verdict.reason for n, verdict in enumerate(verdicts) if n % 5 == 4)
    assert not any(verdict.correct for n, verdict in enumerate(verdicts) if n % 5 == 4)
    assert sum(reasons.values()) == 200
    assert reasons["timeout"] >= 30  # so that the limits were at work
    assert reasons["unparsable_gold"] == 0


@pytest.mark.parametrize("kind", hostile.KINDS)
def test_extraction_survives(kind: str):
    extract_answer(hostile.KINDS[kind](3))
