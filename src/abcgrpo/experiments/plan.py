"""What an experiment will show and what it cannot, before any of it is run."""

from abcgrpo.comparison.compare import FEWEST_SEEDS, RULE, limits
from abcgrpo.comparison.power import detectable_effect_in_deviations
from abcgrpo.comparison.significance import smallest_p_value
from abcgrpo.experiments.checks import planned_questions
from abcgrpo.experiments.cost import cost, sentences
from abcgrpo.experiments.jobs.job import device_places
from abcgrpo.experiments.jobs.runner import ExperimentRunner
from abcgrpo.experiments.specification import Experiment
from abcgrpo.progress import duration
from abcgrpo.tasks import spec_text
from abcgrpo.tasks.sources import HubError

TYPICAL_SEEDS = (1, 3, 8)
PRIMARY_METRICS = 2
"""Avg@k and Pass@k with the largest k."""


def family_size(experiment: Experiment) -> int:
    """How many comparisons verdicts are given on, over all conditions."""
    return (len(experiment.arms) - 1) * max(len(experiment.conditions), 1) * PRIMARY_METRICS


def cannot_conclude(experiment: Experiment) -> str | None:
    """What the number of seeds rules out, in a sentence; None if a verdict is possible."""
    if len(experiment.arms) < 2:
        return "One arm: there is nothing to compare."
    return limits(len(experiment.seeds), family_size(experiment))


def plan(runner: ExperimentRunner) -> list[str]:
    """The plan in paragraphs: what is run, what is compared, by which rule, what can come out, how long it takes."""
    experiment = runner.experiment
    return [*_work(experiment), *_comparison(experiment), *_cost(experiment), _time(runner)]


def _work(experiment: Experiment) -> list[str]:
    evaluation, arms, seeds = experiment.evaluation, list(experiment.arms), experiment.seeds
    steps = experiment.training.get("max_steps")
    questions = "all" if evaluation.questions is None else evaluation.questions
    runs = f"{len(experiment.runs())} runs" + (f" of {steps} optimizer steps" if steps else "")
    conditions = [
        f"Condition {name}: {', '.join(f'{field} {value}' for field, value in overrides.items())}."
        for name, overrides in experiment.conditions.items()
    ]
    return [
        f"Arms: {', '.join(arms)}; from {experiment.model_name_or_path}, on {spec_text(experiment.task)}.",
        *conditions,
        f"Training: {runs}, each arm{' under each condition' * bool(conditions)} with the seeds "
        f"{', '.join(map(str, seeds))}.",
        f"Evaluation: the base and every checkpoint of every run, on {questions} questions of "
        f"{', '.join(experiment.benchmarks)}, {evaluation.samples} samples each, by {evaluation.sampler}.",
    ]


def _comparison(experiment: Experiment) -> list[str]:
    impossible = cannot_conclude(experiment)
    if len(experiment.arms) < 2:
        return [str(impossible)]
    baseline, *others = experiment.arms
    seeds, size, largest = len(experiment.seeds), family_size(experiment), max(experiment.evaluation.pass_at_k)
    within = ", within each condition" if experiment.conditions else ""
    lines = [
        f"Compared: {', '.join(others)} with {baseline}{within}, at the last step, by Avg@{largest} and "
        f"Pass@{largest}: a family of {size} comparisons, fixed here.",
        f"Rule: {RULE}",
    ]
    if seeds >= FEWEST_SEEDS:
        raw = smallest_p_value(seeds)
        corrected = min(1.0, raw * size)
        lines.append(f"Smallest possible p-value: {raw:.3g}, {corrected:.3g} after Holm's correction.")
    lines.append(_with_other_seeds(size))
    if impossible:
        return [*lines, f"CANNOT CONCLUDE. {impossible}"]
    effect = detectable_effect_in_deviations(seeds, size)
    return [
        *lines,
        f"Detectable: a true difference of {effect:.1f} standard deviations of a seed's difference gets its verdict in "
        f"80% of such experiments, and a smaller one less often. More is needed if questions differ much. All other "
        f"results are inconclusive, which does not mean that the arms are alike.",
    ]


def _with_other_seeds(size: int) -> str:
    """What a smaller or larger study of these arms could show."""
    said = []
    for seeds in TYPICAL_SEEDS:
        count = "1 seed" if seeds == 1 else f"{seeds} seeds"
        if limits(seeds, size):
            said.append(f"with {count} no verdict is possible")
        else:
            said.append(f"with {count} {detectable_effect_in_deviations(seeds, size):.1f} deviations")
    return f"Smallest detectable difference, in standard deviations of a seed's difference: {'; '.join(said)}."


def _cost(experiment: Experiment) -> list[str]:
    """GPU-hours and storage of an experiment whose resources ask for GPUs."""
    if not any(experiment.resources_of(arm).gpus for arm in experiment.arms):
        return []
    try:
        found = cost(experiment, planned_questions(experiment))
    except HubError as error:
        return [f"Cost: not known. {error}"]
    if found is None:
        return ["Cost: not known without the number of optimizer steps: give max_steps, or num_problems."]
    return sentences(found)


def _time(runner: ExperimentRunner) -> str:
    took = runner.durations()
    runs = len(runner.jobs) - 1
    if not took:
        return f"Time: not known, since no run in {runner.output} is finished."
    left = runs - len(took)
    seconds = left * sum(map(sum, took)) / len(took) / len(device_places(runner.jobs))
    return f"Time: about {duration(seconds)} for the {left} of {runs} runs that are left, estimated from the others."
