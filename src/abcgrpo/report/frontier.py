"""The frontier: Pass@k against Avg@k along training, and arms compared at equal Avg@k."""

from dataclasses import asdict
from typing import Any

import altair as alt

from abcgrpo.comparison.compare import Scores
from abcgrpo.comparison.frontier import Course, Frontier, at_equal_average, common_level
from abcgrpo.report.comparison import primary_metrics
from abcgrpo.report.figures import Drawing, Panel
from abcgrpo.report.records import Measured, Records, RunRecord
from abcgrpo.report.scores import columns
from abcgrpo.report.style import colour, dash, hidden, picked, shape, shown
from abcgrpo.report.tables import metric_title, percent


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


def frontier_panels(summary: dict[str, Any]) -> list[Panel]:
    """Pass@k against Avg@k, a line for each arm through its checkpoints, thin lines for its seeds; one a benchmark."""
    panels = []
    several = len(summary["benchmarks"]) > 1
    for benchmark, content in summary["benchmarks"].items():
        names = content["columns"]
        if len(names) < 2:
            continue
        average, passes = names[0], names[-1]
        rows, thin = [], []
        for arm in summary["arms"]:
            series = summary["series"][arm]["evaluation"].get(benchmark, {})
            for x, y in zip(series.get(average, []), series.get(passes, []), strict=True):
                rows.append({"arm": arm, "step": x["step"], "average": x["value"], "passes": y["value"]})
                thin += [
                    {"arm": arm, "seed": seed, "step": x["step"], "average": value, "passes": y["seeds"][seed]}
                    for seed, value in x.get("seeds", {}).items()
                ]
        if len({row["step"] for row in rows}) < 2:
            continue
        levels = {each["level"] for each in summary["frontier"] if each["benchmark"].startswith(benchmark)}
        named = benchmark if benchmark.isidentifier() else str(len(panels) + 1)
        panels.append(
            Panel(
                name=f"frontier_{named}" if several else "frontier",
                title=f"{metric_title(passes)} against {metric_title(average)}"
                + (f" · {benchmark}" if several else ""),
                caption="A point for each checkpoint, the base first: equal learning is equal height on the x axis."
                + (" Dashed: the level at which arms are compared." if levels else "")
                + (" Thin lines: single seeds." if thin else ""),
                section=benchmark,
                chart=_chart(list(summary["arms"]), rows, thin, sorted(levels), (average, passes)),
            )
        )
    return panels


def _chart(
    arms: list[str],
    rows: list[dict[str, Any]],
    thin: list[dict[str, Any]],
    levels: list[float],
    metrics: tuple[str, str],
) -> Drawing:
    x_title, y_title = map(metric_title, metrics)
    percents = alt.Axis(format="%", grid=False)
    x = alt.X("average:Q", title=x_title, axis=percents, scale=alt.Scale(zero=False))
    y = alt.Y("passes:Q", title=y_title, axis=percents, scale=alt.Scale(zero=False))
    order = alt.Order("step:Q")
    chart = shown(alt.Chart(alt.Data(values=rows)))
    line = chart.mark_line(strokeWidth=2.5).encode(x=x, y=y, order=order, color=colour(arms), strokeDash=dash(arms))
    tooltip = [
        alt.Tooltip("arm:N"),
        alt.Tooltip("step:Q"),
        *(alt.Tooltip(f"{part}:Q", format=".1%") for part in ("average", "passes")),
    ]
    points = chart.mark_point(size=60, filled=True, opacity=1).encode(
        x=x, y=y, color=colour(arms), shape=shape(arms), tooltip=tooltip
    )
    layers: list[alt.Chart] = [line.add_params(picked()), points]
    if thin:
        seeds = shown(alt.Chart(alt.Data(values=thin))).mark_line(opacity=0.28, strokeWidth=0.9)
        detail = alt.Detail("seed:N")
        layers.insert(0, seeds.encode(x=x, y=y, order=order, color=colour(arms), detail=detail))
    if levels:
        at = alt.Chart(alt.Data(values=[{"average": level} for level in levels]))
        layers.insert(0, at.mark_rule(strokeDash=[4, 4], opacity=0.6, color="#888").encode(x="average:Q"))
    return alt.layer(*layers).add_params(hidden())
