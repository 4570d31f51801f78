"""How often the comparison of two arms is right, where the truth is known.

    python measurements/comparison_coverage.py --simulations 4000

Each simulation draws questions, trains S pairs of runs (in the model below), draws 128 answers to each question from
every run, and compares as `abcgrpo report` does. On the logit scale, run s of an arm answers question q right with

    difficulty[q] + gain[arm] + seed[arm, s] + arm_on_question[arm, q] + arm_on_cluster[arm, cluster of q]
    + run_on_question[arm, s, q]

all normal; the questions are the same for every run. The difficulties' mean and spread (−2, 2) and the settings are of
the size that the countdown study has (docs/countdown.md); in some questions are easy (mean 2), or six at a time share
a part of what an arm does to them, and then the units of the interval are these clusters.

Printed: the share of 95% intervals that hold the true difference, beside four that are not used: the same with clusters
ignored, Student's t over seeds alone, and the percentile bootstrap over seeds and questions and over seeds alone. Then
how verdicts turn out, with one arm and with three against the baseline, where there are seeds enough for any but
"inconclusive"; and how often one is false where clusters are counted, and where they are ignored.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from abcgrpo.comparison.interval import Spread
from abcgrpo.comparison.power import LEVEL, fewest_seeds, p_values
from abcgrpo.comparison.significance import holm
from abcgrpo.evaluation.metrics import pass_at_k_by_count

SAMPLES, K = 128, 64
QUESTIONS = (30, 128)
SEEDS = (3, 5, 8, 10)
METRICS = (f"Avg@{K}", f"Pass@{K}")
AT_ONCE = 500


@dataclass(frozen=True)
class Setting:
    """Standard deviations on the logit scale, what the arm gains on it, and the mean difficulty."""

    gain: float
    seed: float
    arm_on_question: float
    run_on_question: float
    mean: float = -2.0
    arm_on_cluster: float = 0.0


SETTINGS = {
    "no difference, runs nearly the same": Setting(0.0, 0.0, 0.0, 0.2),
    "no difference, as in the study": Setting(0.0, 0.05, 0.1, 0.35),
    "no difference, all vary more": Setting(0.0, 0.3, 0.6, 0.8),
    "a difference, as in the study": Setting(0.2, 0.05, 0.1, 0.35),
    "a difference, seeds vary more": Setting(0.2, 0.3, 0.1, 0.35),
    "a difference, runs vary more": Setting(0.2, 0.1, 0.3, 0.8),
    "a difference, arms differ by question": Setting(0.2, 0.05, 0.6, 0.5),
    "no difference, easy questions": Setting(0.0, 0.05, 0.1, 0.35, mean=2.0),
    "a difference, easy questions": Setting(0.2, 0.05, 0.3, 0.5, mean=2.0),
    "no difference, clusters share 0.3": Setting(0.0, 0.05, 0.1, 0.35, arm_on_cluster=0.3),
    "no difference, clusters share 0.6": Setting(0.0, 0.05, 0.1, 0.35, arm_on_cluster=0.6),
}
CLUSTER = 6
"""Questions of a cluster, in the settings that have clusters."""


def solve_rates(
    generator: np.random.Generator, setting: Setting, arms: int, seeds: int, questions: int, size: int
) -> np.ndarray:
    """(size, arms, seeds, questions); the first arm is the baseline, all others have the gain."""
    logits = generator.normal(setting.mean, 2.0, (size, 1, 1, questions))
    logits = logits + np.where(np.arange(arms) > 0, setting.gain, 0.0)[:, None, None]
    logits = logits + setting.seed * generator.standard_normal((size, arms, seeds, 1))
    logits = logits + setting.arm_on_question * generator.standard_normal((size, arms, 1, questions))
    by_cluster = generator.standard_normal((size, arms, 1, -(-questions // CLUSTER))).repeat(CLUSTER, axis=-1)
    logits = logits + setting.arm_on_cluster * by_cluster[..., :questions]
    logits = logits + setting.run_on_question * generator.standard_normal((size, arms, seeds, questions))
    return 1 / (1 + np.exp(-logits))


def true_differences(setting: Setting) -> tuple[float, float]:
    """Arm minus baseline in the population, for each metric; exactly 0 where the arm gains nothing."""
    if setting.gain == 0:
        return 0.0, 0.0
    wrong = 1 - solve_rates(np.random.default_rng(99), setting, 2, 1, 1, 2_000_000)[:, :, 0, 0]
    average, passes = (float(np.mean(wrong[:, 0] ** k - wrong[:, 1] ** k)) for k in (1, K))
    return average, passes


def drawn_differences(
    generator: np.random.Generator, setting: Setting, arms: int, seeds: int, questions: int, simulations: int
) -> Iterator[list[np.ndarray]]:
    """Each arm minus the baseline, (size, arms − 1, seeds, questions), for each metric; in parts."""
    by_count = pass_at_k_by_count(SAMPLES, K)
    for start in range(0, simulations, AT_ONCE):
        size = min(AT_ONCE, simulations - start)
        correct = generator.binomial(SAMPLES, solve_rates(generator, setting, arms, seeds, questions, size))
        yield [shares[:, 1:] - shares[:, :1] for shares in (correct / SAMPLES, by_count[correct])]


def crossed_bootstrap(differences: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles of means over drawn seeds and drawn questions, the same questions for every seed."""
    _, seeds, questions = differences.shape
    of_seeds = generator.multinomial(seeds, np.full(seeds, 1 / seeds), 400) / seeds
    of_questions = generator.multinomial(questions, np.full(questions, 1 / questions), 400) / questions
    drawn = np.einsum("bs,nsb->nb", of_seeds, differences @ of_questions.T)
    return np.quantile(drawn, 0.025, axis=1), np.quantile(drawn, 0.975, axis=1)


def seed_bootstrap(differences: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles of means over drawn seeds."""
    seeds = differences.shape[1]
    drawn = differences.mean(2) @ generator.multinomial(seeds, np.full(seeds, 1 / seeds), 2000).T / seeds
    return np.quantile(drawn, 0.025, axis=1), np.quantile(drawn, 0.975, axis=1)


def coverage(setting: Setting, seeds: int, questions: int, simulations: int) -> list[dict[str, float]]:
    """For each metric, the share of intervals that hold the truth, by kind."""
    generator = np.random.default_rng([seeds, questions])
    truths = true_differences(setting)
    held: list[dict[str, float]] = [{}, {}]
    for parts in drawn_differences(generator, setting, 2, seeds, questions, simulations):
        for part, truth, found in zip(parts, truths, held, strict=True):
            differences = part[:, 0]
            mean, half = differences.mean((1, 2)), Spread.of(differences, clusters_in(setting, questions)).half_width()
            ignored = Spread.of(differences).half_width()
            by_seed = differences.mean(2)
            student = stats.t.ppf(0.975, seeds - 1) * by_seed.std(axis=1, ddof=1) / np.sqrt(seeds)
            intervals = {
                "used": (mean - half, mean + half),
                "clusters ignored": (mean - ignored, mean + ignored),
                "seeds alone, t": (mean - student, mean + student),
                "bootstrap": crossed_bootstrap(differences, generator),
                "bootstrap, seeds alone": seed_bootstrap(differences, generator),
            }
            for name, (low, high) in intervals.items():
                found[name] = found.get(name, 0) + np.sum((low <= truth) & (truth <= high)) / simulations
    return held


def clusters_in(setting: Setting, questions: int) -> list[str] | None:
    """The cluster of each question, in a setting that has clusters."""
    return [str(index // CLUSTER) for index in range(questions)] if setting.arm_on_cluster else None


def verdicts(
    setting: Setting, arms: int, seeds: int, questions: int, simulations: int, clusters: bool = True
) -> dict[str, float]:
    """How verdicts turn out in experiments with one baseline and two metrics: shares of simulations.

    `none`: every comparison of the family is inconclusive. `one inconclusive`, `better`: the same of single ones.
    Without `clusters` they are ignored in a setting that has them.
    """
    generator = np.random.default_rng([arms, seeds, questions])
    none = inconclusive = better = 0.0
    for parts in drawn_differences(generator, setting, arms, seeds, questions, simulations):
        differences = np.concatenate(parts, axis=1)  # (size, comparisons, seeds, questions)
        mean = differences.mean((2, 3))
        size, comparisons = mean.shape
        by_seed = p_values(differences.mean(3).reshape(-1, seeds)).reshape(size, comparisons)
        spread = Spread.of(differences, clusters_in(setting, questions) if clusters else None)
        raw = np.maximum(by_seed, spread.p_value(mean))
        corrected = np.ones_like(raw)
        for row in np.flatnonzero(raw.min(axis=1) * comparisons <= LEVEL):  # no p of the others is small enough
            corrected[row] = holm(list(raw[row]))
        decided = corrected <= LEVEL
        none += np.sum(~decided.any(axis=1)) / simulations
        inconclusive += np.mean(~decided, axis=1).sum() / simulations
        better += np.mean(decided & (mean > 0), axis=1).sum() / simulations
    return {"none": none, "one inconclusive": inconclusive, "better": better}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=4000)
    simulations = parser.parse_args().simulations
    started = time.time()
    kinds = ("used", "clusters ignored", "seeds alone, t", "bootstrap", "bootstrap, seeds alone")
    print("| setting | metric | truth | seeds | questions | " + " | ".join(kinds) + " |\n" + "|---" * 10 + "|")
    for name, setting in SETTINGS.items():
        truths = true_differences(setting)
        for seeds in SEEDS:
            for questions in QUESTIONS:
                for metric, truth, found in zip(
                    METRICS, truths, coverage(setting, seeds, questions, simulations), strict=True
                ):
                    cells = " | ".join(f"{100 * found[kind]:.1f}" for kind in kinds)
                    print(f"| {name} | {metric} | {100 * truth:.2f} | {seeds} | {questions} | {cells} |", flush=True)
    print(
        "\n| setting | arms | seeds | questions | all inconclusive | one inconclusive | better |\n" + "|---" * 7 + "|"
    )
    for name, setting in SETTINGS.items():
        for arms in (2, 4):
            for seeds in (each for each in SEEDS if each >= fewest_seeds(len(METRICS) * (arms - 1))):
                for questions in QUESTIONS:
                    found = verdicts(setting, arms, seeds, questions, simulations)
                    cells = " | ".join(f"{100 * value:.1f}" for value in found.values())
                    print(f"| {name} | {arms} | {seeds} | {questions} | {cells} |", flush=True)
    print("\n| setting | arms | seeds | questions | false verdict, clusters counted | ignored |\n" + "|---" * 6 + "|")
    for name, setting in SETTINGS.items():
        if setting.arm_on_cluster:
            for arms, seeds, questions in product((2, 4), (8, 10), QUESTIONS):
                found = [verdicts(setting, arms, seeds, questions, simulations, each)["none"] for each in (True, False)]
                cells = " | ".join(f"{100 * (1 - none):.1f}" for none in found)
                print(f"| {name} | {arms} | {seeds} | {questions} | {cells} |", flush=True)
    print(f"\n{simulations} simulations each, {time.time() - started:.0f} s.")


if __name__ == "__main__":
    main()
