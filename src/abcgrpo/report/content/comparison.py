"""The comparison of a report's arms: `comparisons` of `report.json`, and its sentences for the top of the page."""

from typing import Any

from abcgrpo.comparison.compare import Runs, Scores, against_one, compare, limits
from abcgrpo.report.content.scores import columns
from abcgrpo.report.reading.records import Measured, Records
from abcgrpo.report.wording import metric_title
from abcgrpo.run_files import BASE


def compare_arms(records: Records) -> list[dict[str, Any]]:
    """All differences of a report, at each run's last step: a `Comparison` for each benchmark and metric.

    Every arm against the first as planned; then every arm against the base, where that was measured. Under conditions
    each comparison is within one of them, and the family of the correction covers all. `benchmark` is then followed by
    the condition, which `condition` has by itself, as `measured_on` the benchmark.
    """
    shares = columns(records)

    def scores(measured: Measured) -> Scores:
        of = measured.evaluation
        return Scores(of.questions, {name: share(of) for name, share in shares.items()}, of.clusters)

    settings = records.settings
    runs: dict[str, Runs] = {
        setting: {
            arm: {run.seed: scores(found) for run in of_arm if (found := run.last(benchmark))}
            for arm, of_arm in records.under(condition).items()
        }
        for setting, (benchmark, condition) in settings.items()
    }
    found = compare(runs, records.planned_arms, primary_metrics(records))
    for setting, (benchmark, _) in settings.items():
        if benchmark in records.base:
            for arm, of_arm in runs[setting].items():
                found += against_one(setting, arm, of_arm, BASE, scores(records.base[benchmark]))
    return [
        each.to_dict() | dict(zip(("measured_on", "condition"), settings[each.benchmark], strict=True))
        for each in found
    ]


def primary_metrics(records: Records) -> list[str]:
    """Those that verdicts are given on: Avg@k and Pass@k with the largest k, or the one that there is."""
    if records.shares is not None:
        return list(records.shares)
    largest = max(records.pass_at_k)
    return [f"avg@{largest}", f"pass@{largest}"]


def comparison_sentences(records: Records, comparisons: list[dict[str, Any]]) -> list[str]:
    """The comparisons fixed beforehand, in words; then arms that could not be compared, and what seeds too few mean."""
    family = [each for each in comparisons if each["in_family"]]
    if not family:
        return []
    baseline, *others = records.planned_arms
    told_apart_first = sorted(family, key=lambda each: each["verdict"] == "inconclusive")
    sentences = [headline(family, baseline), *(each["sentence"] for each in told_apart_first)]
    for benchmark in records.settings:
        compared = {each["arm"] for each in family if each["benchmark"] == benchmark}
        sentences += [
            f"{arm} against {baseline} on {benchmark}: not compared, since there is no seed with which both were "
            f"measured at the last step on the same questions."
            for arm in others
            if arm not in compared
        ]
    family_size = len(records.settings) * len(others) * len(primary_metrics(records))
    limit = limits(max(each["seeds"] for each in family), family_size)
    return [*sentences, limit] if limit else sentences


def base_sentences(records: Records, comparisons: list[dict[str, Any]]) -> list[str]:
    """How the arms moved from the base: `Avg@64 up, Pass@64 down`, arms that moved alike in one sentence.

    Up and down are intervals that exclude 0; else there is no clear change.
    """
    moved: dict[str, dict[tuple[str | None, str], list[str]]] = {}
    for each in comparisons:
        if each["baseline"] == BASE and each["metric"] in primary_metrics(records):
            by_arm = moved.setdefault(each["measured_on"], {})
            by_arm.setdefault((each["condition"], each["arm"]), []).append(
                f"{metric_title(each['metric'])} {_direction(each)}"
            )
    sentences = []
    for benchmark, by_arm in moved.items():
        alike: dict[str, list[tuple[str | None, str]]] = {}
        for label, words in by_arm.items():
            alike.setdefault(", ".join(words), []).append(label)
        sentences += [
            f"From the base to the last step on {benchmark}: {words} ({_arms_of(labels, list(by_arm))})."
            for words, labels in alike.items()
        ]
    return sentences


def _direction(each: dict[str, Any]) -> str:
    if each["low"] is not None and each["low"] > 0:
        return "up"
    if each["high"] is not None and each["high"] < 0:
        return "down"
    return "without clear change"


def _arms_of(labels: list[tuple[str | None, str]], of_all: list[tuple[str | None, str]]) -> str:
    """`all arms`, or arms by condition: `all under 4 mini-batches; GRPO, CISPO under 16 mini-batches`."""
    if len(labels) == len(of_all):
        return "all arms" if len(labels) > 1 else labels[0][1]
    parts = []
    for condition in dict.fromkeys(condition for condition, _ in labels):
        arms = [arm for of, arm in labels if of == condition]
        every = condition is not None and len(arms) == sum(of == condition for of, _ in of_all)
        under = f" under {condition}" if condition is not None else ""
        parts.append(("all" if every else ", ".join(arms)) + under)
    return "; ".join(parts)


def headline(family: list[dict[str, Any]], baseline: str) -> str:
    """The verdicts in one sentence."""
    found = {
        verdict: [f"{each['arm']} in {metric_title(each['metric'])} on {each['benchmark']}" for each in of_verdict]
        for verdict in ("better", "worse")
        if (of_verdict := [each for each in family if each["verdict"] == verdict])
    }
    left = len(family) - sum(map(len, found.values()))
    if not found:
        return f"No arm is shown to be better or worse than {baseline}: all {len(family)} comparisons are inconclusive."
    parts = [f"{verdict} than {baseline}: {', '.join(sides)}" for verdict, sides in found.items()]
    rest = f"; inconclusive: {left} of {len(family)} comparisons" if left else ""
    sentence = "; ".join(parts) + rest
    return f"{sentence[0].upper()}{sentence[1:]}."


def between_arms(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The comparisons of arms with the first arm, without those with the base."""
    return [each for each in summary["comparisons"] if each["baseline"] != BASE]
