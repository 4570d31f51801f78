"""How often 95% intervals hold the truth, at the sizes of real benchmarks.

    python benchmarks/coverage.py --simulations 2000

Each simulation draws the questions' true solve rates from a population, 64 answers to each, and asks whether the
intervals of Avg@64 and Pass@k hold the population's own value. Percentile bootstrap and Student's t stand beside them.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from abcgrpo.evaluation.intervals import Interval, of_differences, over_questions, over_questions_and_samples
from abcgrpo.evaluation.metrics import average, pass_at_k

SAMPLES = 64
POPULATIONS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "even": lambda g, size: g.beta(1.0, 2.0, size),
    "hard": lambda g, size: g.beta(0.3, 2.2, size),
    "all or nothing": lambda g, size: g.beta(0.4, 0.4, size),
    "60% never": lambda g, size: np.where(g.random(size) < 0.6, 0.0, g.beta(0.6, 1.6, size)),
    "easy": lambda g, size: g.beta(3.0, 1.0, size),
    "alike": lambda g, size: g.beta(4.0, 4.0, size),
}


def percentile_bootstrap(shares: np.ndarray, generator: np.random.Generator) -> Interval:
    """The plain one, for comparison."""
    means = shares[generator.integers(0, len(shares), (400, len(shares)))].mean(axis=1)
    return Interval(float(shares.mean()), *map(float, np.quantile(means, [0.025, 0.975])))


def coverage(population: str, questions: int, k: int, simulations: int, seed: int = 0) -> dict[str, float]:
    """Share of simulations whose interval holds the truth, by kind of interval; k = 0 is Avg@64."""
    generator = np.random.default_rng([seed, questions, k])
    draw = POPULATIONS[population]
    rates = draw(generator, 1_000_000)
    truth = float(np.mean(1 - (1 - rates) ** max(k, 1)))
    held: dict[str, int] = {}
    for _ in range(simulations):
        correct = generator.binomial(SAMPLES, draw(generator, questions))
        shares = pass_at_k(correct, SAMPLES, k) if k else average(correct, SAMPLES)
        found = {
            "over questions": over_questions(shares),
            "Student": of_differences(shares),
            "bootstrap": percentile_bootstrap(shares, generator),
        }
        if 0 < k < SAMPLES:
            found["questions and samples"] = over_questions_and_samples(correct, SAMPLES, k, generator).interval
        for name, interval in found.items():
            held[name] = held.get(name, 0) + (interval.low <= truth <= interval.high)
    return {"truth": truth} | {name: count / simulations for name, count in held.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000)
    simulations = parser.parse_args().simulations
    started = time.time()
    columns = ("truth", "over questions", "questions and samples", "Student", "bootstrap")
    print("| population | questions | metric | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 3) + "|")
    for population in POPULATIONS:
        for questions in (30, 40):
            for k in (0, 8, 32, 64):
                found = coverage(population, questions, k, simulations)
                cells = [f"{100 * found[name]:.1f}" if name in found else "" for name in columns]
                metric = f"Pass@{k}" if k else f"Avg@{SAMPLES}"
                print(f"| {population} | {questions} | {metric} | " + " | ".join(cells) + " |", flush=True)
    print(f"\n{simulations} simulations each, {time.time() - started:.0f} s.")


if __name__ == "__main__":
    main()
