"""How often 95% intervals hold the truth, at the sizes of real benchmarks.

    python measurements/coverage.py --simulations 2000

Each simulation draws the questions' true solve rates from a population and so many answers to each, and asks whether
the intervals of Avg@64 and Pass@k hold the population's own value. Percentile bootstrap and Student's t stand beside
them. Then the same of differences between two models: on the logit scale the second answers each question better by a
shift, and by a normal amount of the question's own; and of questions in clusters of six that share a part of it.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy import stats

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


def student(values: np.ndarray) -> Interval:
    """Student's interval, for comparison."""
    mean, half = float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return Interval(mean, mean - half, mean + half)


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
            "Student": student(shares),
            "bootstrap": percentile_bootstrap(shares, generator),
        }
        if 0 < k < SAMPLES:
            found["questions and samples"] = over_questions_and_samples(correct, SAMPLES, k, generator)
        for name, interval in found.items():
            held[name] = held.get(name, 0) + (interval.low <= truth <= interval.high)
    return {"truth": truth} | {name: count / simulations for name, count in held.items()}


def two_models(
    generator: np.random.Generator,
    population: str,
    questions: int,
    shift: float,
    spread: float,
    cluster: tuple[int, float] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Solve rates of two models, (questions,); `cluster`: its size, and the deviation of what its questions share."""
    first = POPULATIONS[population](generator, questions)
    with np.errstate(divide="ignore"):
        logits = np.log(first) - np.log1p(-first) + shift + spread * generator.standard_normal(questions)
    if cluster:
        size, deviation = cluster
        logits = logits + deviation * generator.standard_normal(-(-questions // size)).repeat(size)[:questions]
    return first, 1 / (1 + np.exp(-logits))


def coverage_of_differences(
    population: str,
    questions: int,
    samples: int,
    k: int,
    shift: float,
    spread: float,
    simulations: int,
    cluster: tuple[int, float] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Share of simulations whose interval holds the true difference, by kind; k = 0 is the average.

    Also the figures' own truths, `first` and `second`, and `no width`: the share of Student's intervals without any.
    """
    generator = np.random.default_rng([seed, questions, samples, k])
    true = two_models(generator, population, 1_000_000, shift, spread, cluster)
    truths = [float(np.mean(1 - (1 - rates) ** max(k, 1))) for rates in true]
    clusters = [f"cluster {index // cluster[0]}" for index in range(questions)] if cluster else None
    held: dict[str, int] = {}
    for _ in range(simulations):
        rates = two_models(generator, population, questions, shift, spread, cluster)
        first, second = (
            pass_at_k(correct, samples, k) if k else average(correct, samples)
            for correct in (generator.binomial(samples, each) for each in rates)
        )
        plain = student(second - first)
        intervals = {"differences": of_differences(second - first), "Student": plain}
        if clusters:
            intervals["clusters"] = of_differences(second - first, clusters)
        for name, interval in intervals.items():
            held[name] = held.get(name, 0) + (interval.low <= truths[1] - truths[0] <= interval.high)
        held["no width"] = held.get("no width", 0) + (plain.low == plain.high)
    return {"first": truths[0], "second": truths[1]} | {name: count / simulations for name, count in held.items()}


def print_differences(simulations: int) -> None:
    """The tables of differences."""
    columns = ("first", "second", "differences", "Student", "no width")
    print("\n| population | shift | questions | metric | " + " | ".join(columns) + " |\n" + "|---" * 9 + "|")
    for population in POPULATIONS:
        for shift, spread in ((0.0, 0.3), (0.5, 0.5)):
            for questions, samples, k in ((30, 64, 0), (30, 64, 32), (30, 64, 64), (30, 16, 16), (128, 16, 16)):
                found = coverage_of_differences(population, questions, samples, k, shift, spread, simulations)
                cells = " | ".join(f"{100 * found[name]:.1f}" for name in columns)
                metric = f"Pass@{k} of {samples}" if k else f"Avg@{samples}"
                print(f"| {population} | {shift} | {questions} | {metric} | {cells} |", flush=True)
    print("\n| population | clusters | deviation | metric | counted | ignored |\n" + "|---" * 6 + "|")
    for population in ("even", "hard"):
        for questions in (30, 60, 120):
            for deviation in (0.0, 0.5, 1.0):
                for k in (0, 32):
                    found = coverage_of_differences(
                        population, questions, 64, k, 0.0, 0.5, simulations, cluster=(6, deviation)
                    )
                    cells = " | ".join(f"{100 * found[name]:.1f}" for name in ("clusters", "differences"))
                    metric = f"Pass@{k}" if k else "Avg@64"
                    print(f"| {population} | {questions // 6} of 6 | {deviation} | {metric} | {cells} |", flush=True)


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
    print_differences(simulations)
    print(f"\n{simulations} simulations each, {time.time() - started:.0f} s.")


if __name__ == "__main__":
    main()
