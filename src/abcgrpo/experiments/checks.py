"""What of an experiment cannot work, found before any of it is run; nothing is written, no weights are loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from abcgrpo.errors import UserError
from abcgrpo.evaluation.evaluate import sampling_of
from abcgrpo.experiments.specification import Experiment
from abcgrpo.progress import quiet_libraries
from abcgrpo.tasks import get_task, resolve_model
from abcgrpo.tasks.benchmarks import KNOWN, Benchmark, file_grader, load_benchmark
from abcgrpo.tasks.sources import HubError, model_not_loaded
from abcgrpo.training.adapter import adapter_of, check_adapter, missing_for_adapter, with_adapter
from abcgrpo.training.arguments import check_arguments, missing_here, planned_arguments
from abcgrpo.training.batches import plan_batches, planned_processes
from abcgrpo.training.data import examined, task_of
from abcgrpo.training.recipe import Recipe


def check_experiment(experiment: Experiment) -> list[str]:
    """Refuse what cannot work, whatever the machine; return what stands in the way on this one, in sentences.

    Raises:
        UserError: a mistake in the experiment, with what to do about it.
    """
    quiet_libraries()
    planned = {}
    for place, recipe in _recipes(experiment).items():
        with _of(place):
            arguments = planned_arguments(recipe, planned_processes(recipe))
            check_arguments(arguments)
            check_adapter(recipe, arguments)
            task_of(recipe)
        planned[place] = recipe, arguments
    obstacles = [each for recipe, arguments in planned.values() for each in missing_here(recipe, arguments)]
    if experiment.evaluation.sampler == "vllm" and find_spec("vllm") is None:
        obstacles.append("evaluation: sampler: vllm: vLLM is not installed here. See the extra `vllm`.")
    recipe, arguments = next(iter(planned.values()))
    data = examined(recipe, arguments.seed)
    if not (data.columns_checked and data.prompt_lengths_checked):
        obstacles.append(f"The training set: {data.summary}")
    for place, (recipe, arguments) in planned.items():
        with _of(place):
            plan_batches(arguments, planned_processes(recipe), data.num_problems)
    for check in (_check_model, _check_benchmark):
        try:
            check(experiment)
        except HubError as error:
            obstacles.append(str(error))
    return list(dict.fromkeys(obstacles))


def _recipes(experiment: Experiment) -> dict[str, Recipe]:
    """What each arm is trained with under each condition, by where it is written."""
    return {
        ", ".join(filter(None, [f"arm {run.arm}", run.condition and f"condition {run.condition}"])): experiment.recipe(
            run.arm, run.seed, ".", run.condition
        )
        for run in experiment.runs()
        if run.seed == experiment.seeds[0]
    }


def _check_model(experiment: Experiment) -> None:
    from transformers import AutoConfig

    name = experiment.model_name_or_path
    try:
        config = AutoConfig.from_pretrained(resolve_model(name))
    except (OSError, ValueError) as error:
        raise model_not_loaded(name, error) from error
    for place, recipe in _recipes(experiment).items():
        if recipe.adapter and not missing_for_adapter(recipe):
            with _of(place):
                with_adapter(config, adapter_of(recipe))


def _check_benchmark(experiment: Experiment) -> None:
    with _of("evaluation"):
        for benchmark in _benchmarks(experiment):
            sampling_of(benchmark.task, experiment.evaluation)


def planned_questions(experiment: Experiment) -> int:
    """How many questions a model is asked, of all benchmarks together; of published ones without looking at them.

    Raises:
        UserError: a benchmark that cannot be used.
    """
    named, most = experiment.benchmarks, experiment.evaluation.questions
    if all(name in KNOWN for name in named):
        return sum(min(KNOWN[name].problems, most or KNOWN[name].problems) for name in named)
    return sum(len(benchmark.rows) for benchmark in _benchmarks(experiment))


def _benchmarks(experiment: Experiment) -> Iterator[Benchmark]:
    task = get_task(experiment.task)
    for name in experiment.benchmarks:
        yield load_benchmark(name, None, experiment.evaluation.questions, file_grader(name, task))


@contextmanager
def _of(place: str) -> Iterator[None]:
    """Say of which part of the experiment a mistake is."""
    try:
        yield
    except UserError as error:
        raise type(error)(f"{place}: {error}") from error
