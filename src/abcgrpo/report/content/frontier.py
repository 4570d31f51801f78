"""The frontier: arms compared at equal Avg@k."""

from dataclasses import asdict
from typing import Any

from abcgrpo.comparison.compare import Scores
from abcgrpo.comparison.frontier import Course, Frontier, at_equal_average, common_level
from abcgrpo.report.content.comparison import primary_metrics
from abcgrpo.report.content.scores import columns
from abcgrpo.report.reading.records import Measured, Records, RunRecord
from abcgrpo.report.wording import metric_title, percent


def frontiers(records: Records, level: float | None = None) -> list[dict[str, Any]]:
    """Every arm against the first at equal Avg@k, on each benchmark under each condition; see `Frontier`.

    Arms count that have two checkpoints or more. Each row also has `average` and `passes`, the metrics, and `sentence`.

    Args:
        records: what runs have left.
        level: of Avg@k; by default the one that `common_level` chooses on each benchmark.
    """
    if records.shares is not None or len(records.planned_arms) < 2:
        return []
    average, passes = primary_metrics(records)
    baseline, *others = records.planned_arms
    found = []
    for setting, (benchmark, condition) in records.settings.items():
        runs = {
            arm: {run.seed: course for run in of_arm if len(course := _course(records, run, benchmark)) > 1}
            for arm, of_arm in records.under(condition).items()
        }
        present = [each for of in runs.values() for each in of.values()]
        chosen = common_level(present, average) if level is None else level
        if baseline not in runs or chosen is None:
            continue
        for arm in others:
            if runs.get(arm) and runs[arm].keys() & runs[baseline].keys():
                each = at_equal_average(setting, runs, (arm, baseline), chosen, average, passes)
                more = {"average": average, "passes": passes, "sentence": sentence(each, average, passes)}
                found.append(asdict(each) | more)
    return found


def sentence(found: Frontier, average: str, passes: str) -> str:
    """The comparison in words."""
    where = f"At equal {metric_title(average)} ({percent(found.level)}) on {found.benchmark}"
    if found.difference is None:
        missing = "; ".join(f"{arm} with seeds {', '.join(map(str, of))}" for arm, of in found.not_reached.items())
        return (
            f"{where}: {found.arm} and {found.baseline} are not compared, since the level is not reached by {missing}."
        )
    interval = "" if found.low is None else f" [{percent(found.low, True)}, {percent(found.high, True)}]"
    shown = found.low is not None and found.high is not None and (found.low > 0 or found.high < 0)
    told = "the interval excludes 0" if shown else "the arms are not told apart"
    return (
        f"{where}, {found.seeds} seed{'s' * (found.seeds > 1)}: {metric_title(passes)} of {found.arm} minus that of "
        f"{found.baseline} is {percent(found.difference, True)} points{interval}; {told}."
    )


def _course(records: Records, run: RunRecord, benchmark: str) -> Course:
    """A run's scores by step, the base's first, as far as they are on the questions of its last step."""
    measured = dict(run.evaluations.get(benchmark, {}))
    if measured and benchmark in records.base:
        measured = {0: records.base[benchmark]} | measured
    last = measured[max(measured)].evaluation.questions if measured else []
    shares = columns(records)

    def scores(each: Measured) -> Scores:
        of = each.evaluation
        return Scores(of.questions, {name: share(of) for name, share in shares.items()}, of.clusters)

    return {step: scores(each) for step, each in measured.items() if each.evaluation.questions == last}
