"""Grades per second of ordinary answers, hard limits on, beside math-verify called directly in this process.

    python timings/grading.py [--json FILE] [--answers N] [--rounds N]

Both sides grade the same responses, in turns, within one run. Two sets: "competition", mostly numbers as the golds of
AIME and AMC are; "algebra", where every answer needs computer algebra. Every response is different within a set and
every round draws a new set, so that neither side lives on what it remembers. math-verify has its own limits off: it is
at its fastest. The first round of each side is its warm-up and is not counted.
"""

import argparse
import json
import logging
import platform
import random
import statistics
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from abcgrpo.grading import WorkerPool, grade_batch

Pairs = list[tuple[str, str, bool]]


def competition(count: int, draw: random.Random) -> Pairs:
    """98 of 100 golds are integers or fractions; three of four answers are right."""
    pairs: Pairs = []
    for n in range(count):
        gold, right = draw.randrange(100_000), draw.random() < 0.75
        if n % 50 == 49:
            pairs.append(_surd(draw, right))
        elif n % 5 == 4:
            pairs.append((rf"\frac{{{gold}}}{{7}}", rf"\dfrac{{{gold if right else gold + 1}}}{{7}}", right))
        else:
            pairs.append((str(gold), str(gold if right else gold + 1), right))
    return pairs


def algebra(count: int, draw: random.Random) -> Pairs:
    """Surds and polynomials, written differently on the two sides."""
    return [(_surd if n % 2 else _polynomial)(draw, draw.random() < 0.75) for n in range(count)]


def _surd(draw: random.Random, right: bool) -> tuple[str, str, bool]:
    factor, radicand = draw.randrange(2, 1000), draw.choice((2, 3, 5, 7, 11, 13))
    return rf"{factor}\sqrt{{{radicand}}}", rf"\sqrt{{{factor * factor * radicand + (not right)}}}", right


def _polynomial(draw: random.Random, right: bool) -> tuple[str, str, bool]:
    a, b = draw.randrange(2, 1000), draw.randrange(2, 1000)
    return f"x^2+{a + b}x+{a * b}", f"(x+{a})(x+{b if right else b + 1})", right


def response(answer: str) -> str:
    steps = "We add both sides and simplify, so that $a = b + c$ and $f(x) = 2x$ hold for every $x$. " * 20
    return rf"{steps}Therefore the answer is $\boxed{{{answer}}}$."


def safe(pool: WorkerPool, pairs: Pairs) -> list[bool | None]:
    verdicts = grade_batch([response(answer) for _, answer, _ in pairs], [gold for gold, _, _ in pairs], pool=pool)
    return [verdict.correct for verdict in verdicts]


def direct(pairs: Pairs) -> list[bool | None]:
    from math_verify import LatexExtractionConfig, parse, verify

    boxed = (LatexExtractionConfig(boxed_match_priority=0, try_extract_without_anchor=False),)
    return [
        verify(
            parse(rf"\boxed{{{gold}}}", boxed, parsing_timeout=None),  # type: ignore[arg-type]
            parse(response(answer), boxed, parsing_timeout=None),  # type: ignore[arg-type]
            timeout_seconds=None,
        )
        for gold, answer, _ in pairs
    ]


def measure(make, answers: int, rounds: int, pool: WorkerPool) -> dict[str, object]:
    """Medians over the rounds, and the verdicts that were wrong."""
    rates: dict[str, list[float]] = {"safe": [], "math-verify": []}
    wrong = {"safe": 0, "math-verify": 0}
    for seed in range(rounds + 1):
        pairs = make(answers, random.Random(seed))
        for name in rates:
            start = time.perf_counter()
            verdicts = safe(pool, pairs) if name == "safe" else direct(pairs)
            seconds = time.perf_counter() - start
            if seed:  # the first round warms up
                rates[name].append(answers / seconds)
                wrong[name] += sum(verdict is not right for verdict, (_, _, right) in zip(verdicts, pairs, strict=True))
    medians = {name: round(statistics.median(values)) for name, values in rates.items()}
    return {
        "grades_per_second": medians,
        "rounds": {name: [round(value) for value in values] for name, values in rates.items()},
        "ratio": round(medians["safe"] / medians["math-verify"], 2),
        "wrong": wrong,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--answers", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    pool = WorkerPool()
    result: dict[str, object] = {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "math-verify": version("math-verify"),
        "workers": pool.workers,
        "limits": {"cpu_seconds": pool.cpu_seconds, "memory_bytes": pool.memory_bytes},
        "answers": arguments.answers,
    }
    for make in (competition, algebra):
        result[make.__name__] = measured = measure(make, arguments.answers, arguments.rounds, pool)
        print(f"{make.__name__}: {measured['grades_per_second']} grades/s, ratio {measured['ratio']}")
        print(f"  wrong verdicts: {measured['wrong']}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
