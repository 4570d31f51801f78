"""Answers to the same problem from each arm, a right and a wrong one, for reading side by side."""

from collections import defaultdict
from typing import Any

from abcgrpo.files import read_json_lines
from abcgrpo.report.reading.records import Measured, Records
from abcgrpo.run_files import BASE

PROBLEMS = 3
"""How many problems of each benchmark are shown."""
LONGEST = 6000
"""Characters of an answer that are shown."""


def samples(records: Records) -> dict[str, list[dict[str, Any]]]:
    """By benchmark, a few problems; each with `problem` and, by arm, `right`, `wrong` (an answer or None) and `rate`.

    Each arm is shown by its first seed at the last measured step, an answer being the one with the lowest index.
    Problems come from the middle: of those that most arms answer both rightly and wrongly, the ones with the first
    quarter, half and three quarters of the success rate.
    """
    return {benchmark: found for benchmark in records.benchmarks if (found := _of(records, benchmark))}


def _of(records: Records, benchmark: str) -> list[dict[str, Any]]:
    arms = {BASE: records.base[benchmark]} if benchmark in records.base else {}
    for arm, runs in records.by_arm.items():
        measured = [found for run in runs if (found := run.last(benchmark))]
        if measured and measured[0].samples:
            arms[arm] = measured[0]
    rates = {arm: _rates(each) for arm, each in arms.items()}
    common = set.intersection(*(set(by_problem) for by_problem in rates.values())) if rates else set()

    def mixed(problem: str) -> int:
        return sum(0 < by_problem[problem] < 1 for by_problem in rates.values())

    most = max((mixed(problem) for problem in common), default=0)
    ranked = sorted(
        (problem for problem in common if mixed(problem) == most),
        key=lambda problem: (sum(by_problem[problem] for by_problem in rates.values()), problem),
    )
    chosen = (
        list(dict.fromkeys(ranked[len(ranked) * part // (PROBLEMS + 1)] for part in range(PROBLEMS, 0, -1)))
        if ranked
        else []
    )
    answers = {arm: _answers(each, set(chosen)) for arm, each in arms.items()}
    return [
        {
            "problem": problem,
            "arms": {arm: {"rate": rates[arm][problem]} | answers[arm].get(problem, {}) for arm in arms},
        }
        for problem in chosen
    ]


def _rates(measured: Measured) -> dict[str, float]:
    evaluation = measured.evaluation
    return {
        problem: float(count) / evaluation.samples
        for problem, count in zip(evaluation.questions, evaluation.correct, strict=True)
    }


def _answers(measured: Measured, problems: set[str]) -> dict[str, dict[str, Any]]:
    """The first right and the first wrong answer to each problem."""
    if measured.samples is None:
        return {}
    lines = [line for line in read_json_lines(measured.samples) if line["problem"] in problems]
    found: dict[str, dict[str, Any]] = defaultdict(lambda: {"right": None, "wrong": None})
    for line in sorted(lines, key=lambda line: line["sample"]):
        kind = "right" if line["correct"] else "wrong"
        if found[line["problem"]][kind] is None:
            text = line["text"]
            shown = text if len(text) <= LONGEST else text[:LONGEST] + f" … ({len(text) - LONGEST} more characters)"
            found[line["problem"]][kind] = {
                "text": shown,
                "tokens": line["tokens"],
                "finish_reason": line["finish_reason"],
                "answer": line["answer"],
            }
    return dict(found)
