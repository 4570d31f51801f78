"""How often the interval of Pass@k at equal Avg@k holds the truth.

    python measurements/frontier_coverage.py --simulations 2000

Each simulation draws questions, trains S pairs of runs in the model below, answers each question 64 times at eight
checkpoints, and compares Pass@16 where both runs first reach a level of Avg@64: 30%, or the level that the report
chooses. On the logit scale run s of an arm answers question q at time t (0 … 1) right with

    difficulty[q] + t · (speed[arm] + speed[arm, s] + arm[arm, q] + run[arm, s, q])

all normal. A large spread over questions with the same speed is an arm that solves some questions and forgets others:
less Pass@k at the same Avg@k. The truth is the mean over 30 seeds of 20,000 questions each: a single run is off by up
to 2 points where seeds vary more, which is as much as half of an interval.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from abcgrpo.comparison.compare import Scores
from abcgrpo.comparison.frontier import at_equal_average, common_level, crossing
from abcgrpo.evaluation.metrics import pass_at_k_by_count

SAMPLES, K, LEVEL = 64, 16, 0.3
TIMES = np.linspace(0, 1, 9)
NAMES = ("avg", "pass")
BY_COUNT = pass_at_k_by_count(SAMPLES, K)


@dataclass(frozen=True)
class Arm:
    """Mean speed, and standard deviations over seeds, over questions and over both."""

    speed: float
    seed: float = 0.1
    question: float = 0.3
    both: float = 0.3


SETTINGS = {
    "alike": (Arm(2.5), Arm(2.5)),
    "slower, same frontier": (Arm(2.5), Arm(2.0)),
    "less kept": (Arm(2.5), Arm(2.6, question=1.5)),
    "seeds vary more": (Arm(2.5, seed=0.4), Arm(2.2, seed=0.4, question=1.0)),
}


def rates(
    generator: np.random.Generator, arm: Arm, difficulty: np.ndarray, seeds: int, times: np.ndarray = TIMES
) -> np.ndarray:
    """Solve rates, (times, seeds, questions)."""
    questions = len(difficulty)
    speed = arm.speed + arm.seed * generator.standard_normal((seeds, 1))
    speed = speed + arm.question * generator.standard_normal((1, questions))
    speed = speed + arm.both * generator.standard_normal((seeds, questions))
    return 1 / (1 + np.exp(-(difficulty + times[:, None, None] * speed)))


def course(correct: np.ndarray, names: list[str]) -> dict[int, Scores]:
    """A run's scores from right answers, (times, questions)."""
    return {
        step: Scores(names, dict(zip(NAMES, (row / SAMPLES, BY_COUNT[row]), strict=True)))
        for step, row in enumerate(correct)
    }


def true_passes(arm: Arm, level: float) -> float:
    """Pass@K of the arm at the level: the mean over 30 seeds, from checkpoints that are denser and go on for longer."""
    generator = np.random.default_rng(7)
    found = []
    for _ in range(30):
        true = rates(generator, arm, generator.normal(-2.0, 2.0, 20_000), 1, np.linspace(0, 3, 37))[:, 0]
        values = {step: Scores([], {"avg": row, "pass": 1 - (1 - row) ** K}) for step, row in enumerate(true)}
        if at := crossing(values, level, *NAMES):
            found.append(at.passes)
    return float(np.mean(found)) if found else np.nan


def coverage(arms: tuple[Arm, Arm], seeds: int, questions: int, simulations: int, chosen: bool) -> dict[str, float]:
    """Share of intervals that hold the truth, and of simulations in which the level is reached by all."""
    generator = np.random.default_rng([seeds, questions])
    names = [f"q{number:04}" for number in range(questions)]
    truths: dict[float, float] = {}
    held = reached = 0
    for _ in range(simulations):
        difficulty = generator.normal(-2.0, 2.0, questions)
        base = generator.binomial(SAMPLES, 1 / (1 + np.exp(-difficulty)))
        runs = {}
        for name, arm in zip(("baseline", "arm"), arms, strict=True):
            correct = generator.binomial(SAMPLES, rates(generator, arm, difficulty, seeds))
            correct[0] = base  # the same for every run
            runs[name] = {seed: course(correct[:, seed], names) for seed in range(seeds)}
        level = common_level([each for of in runs.values() for each in of.values()], "avg") if chosen else LEVEL
        if level is None:
            continue
        found = at_equal_average("b", runs, ("arm", "baseline"), level, *NAMES)
        if found.low is None or found.high is None:
            continue
        reached += 1
        if level not in truths:
            truths[level] = true_passes(arms[1], level) - true_passes(arms[0], level)
        held += found.low <= truths[level] <= found.high
    return {"truth": truths.get(LEVEL, np.nan), "coverage": held / max(reached, 1), "reached": reached / simulations}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000)
    simulations = parser.parse_args().simulations
    print("| setting | level | seeds | questions | truth | coverage | level reached |\n" + "|---" * 7 + "|")
    for name, arms in SETTINGS.items():
        for chosen in (False, True):
            for seeds, questions in ((5, 128), (8, 30), (8, 128)):
                found = coverage(arms, seeds, questions, simulations, chosen)
                cells = " | ".join("" if np.isnan(value) else f"{100 * value:.1f}" for value in found.values())
                level = "chosen" if chosen else f"{LEVEL:.0%}"
                print(f"| {name} | {level} | {seeds} | {questions} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
