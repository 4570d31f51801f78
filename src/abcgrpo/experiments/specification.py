"""An experiment: arms × conditions × seeds from one base, all trained and measured alike.

```yaml
model_name_or_path: Qwen/Qwen3-1.7B-Base   # the base of every arm
task: my_task.py
num_problems: 4096
seeds: [0]
arms:                                   # the first arm is the one that others are compared with
  GRPO: {rule: grpo}
  ABC-GRPO: {rule: abc_grpo}
  clip-higher: {rule: {name: clip_higher, high: 0.28}}       # a rule with parameters
  mine: {rule: my_rules.Mine}                                # your own, by its import path
  four bounds: {boundaries: {eps_pos_high: 0.28, eps_neg_high: 2.0}}          # short for abc_grpo with these
  CISPO: {objective: trl, training: {loss_type: cispo, epsilon_high: 5.0}}     # one of TRL's own losses
conditions:                             # each arm under each of them; arms are compared within a condition
  4 mini-batches: {steps_per_generation: 4, per_device_train_batch_size: 128}
  16 mini-batches: {steps_per_generation: 16, per_device_train_batch_size: 32}
training:                               # TRL's fields, for every arm; conditions and arms override them
  learning_rate: 3e-5
resources: {processes: 1}               # of a job: processes, gpus, cpus, memory, launch
evaluation:                             # of the base and of every checkpoint (TRL's save_steps) of every run
  questions: 128
  samples: 128
```
"""

import json
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from abcgrpo.errors import UserError, mistake_in_words, unknown_name
from abcgrpo.evaluation.options import EvaluationOptions
from abcgrpo.files import plain, read_yaml
from abcgrpo.rules import Rule, resolve_rule
from abcgrpo.rules.abc_grpo import Boundaries
from abcgrpo.run_files import BASE
from abcgrpo.tasks import DEFAULT, Spec, get_rewards, get_task, spec_text
from abcgrpo.training.recipe import Objective, Recipe, recipe_from_flat
from abcgrpo.training.shipped import launch_configuration, shipped_experiments

THRESHOLDS = tuple(item.name for item in fields(Boundaries))
"""The short form of ABC-GRPO's rule."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Resources(_Strict):
    """What a job takes of a machine."""

    processes: int = Field(default=1, ge=1)
    """Processes that train together on one machine, for the whole batch sizes. Evaluation takes one process."""
    gpus: int | None = Field(default=None, ge=0)
    """GPUs of the job. Default: one for each process if this machine has GPUs; none on Ray."""
    cpus: int | None = Field(default=None, ge=1)
    """On Ray, of the job; by default one for each process."""
    memory: float | None = Field(default=None, gt=0)
    """On Ray, GiB of the job."""
    launch: str | None = None
    """How the processes share a model: a shipped launch configuration (ddp, fsdp2, zero2, zero3), or accelerate's file.
    Without it torchrun starts them, and each holds the whole model."""


class Arm(_Strict):
    """One of the things that are compared: a clipping rule, or with `objective: trl` one of TRL's own losses."""

    objective: Objective = "abc-grpo"
    rule: str | dict[str, Any] | None = None
    """See `abcgrpo.rules.resolve_rule`; `abc_grpo` by default."""
    boundaries: dict[str, Any] | None = None
    """The four thresholds by name: the short form of `rule: {name: abc_grpo, …}`."""
    resources: Resources | None = None
    """Instead of the experiment's."""
    training: dict[str, Any] = Field(default_factory=dict)


class EvaluationSection(EvaluationOptions):
    """How the base and every checkpoint are measured: the options of `abcgrpo evaluate`, and what is reported."""

    benchmark: str | list[str] | None = None
    """A benchmark by name, a file by path, or several; None for the problems that the task holds out."""
    samples: int = Field(default=128, ge=1)
    """Twice the largest k, so that each Pass@k has an error over samples as well."""
    batch_size: int | None = Field(default=512, ge=1)
    """With every sampler; None for the sampler's own."""
    pass_at_k: list[Annotated[int, Field(ge=1)]] = Field(default=[2, 4, 8, 16, 32, 64], min_length=1)


class Run(NamedTuple):
    """One training run of an experiment."""

    arm: str
    seed: int
    condition: str | None = None
    """None if the experiment has no conditions."""

    @property
    def name(self) -> str:
        """What the run is called on the screen."""
        return ", ".join(filter(None, [self.condition, self.arm, f"seed {self.seed}"]))


class Experiment(_Strict):
    """Arms × conditions × seeds from one base."""

    model_name_or_path: str
    task: Spec = DEFAULT
    num_problems: int | None = Field(default=None, ge=1)
    dataset_name: str | None = None
    dataset_config: str | None = None
    skip_unusable_rows: bool = False
    prompt_template: str | None = None
    prompt_form: str | None = None
    max_prompt_tokens: int | None = Field(default=None, ge=1)
    reward_funcs: list[str] | None = None
    seeds: list[int] = Field(default=[0], min_length=1)
    arms: dict[str, Arm] = Field(min_length=1)
    conditions: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Name → the fields of `training` that are other under it."""
    training: dict[str, Any] = Field(default_factory=dict)
    evaluation: EvaluationSection = EvaluationSection()
    resources: Resources = Resources()
    """What each job takes of a machine."""

    @property
    def benchmarks(self) -> list[str]:
        """What is measured on: benchmarks by name, files by path, or the task for the problems that it holds out."""
        named = self.evaluation.benchmark or spec_text(self.task)
        return [named] if isinstance(named, str) else named

    def runs(self) -> list[Run]:
        """All of them, in the order in which they are run: every arm under every condition, seed by seed."""
        conditions = list(self.conditions) or [None]
        return [Run(arm, seed, each) for seed, each, arm in product(self.seeds, conditions, self.arms)]

    @property
    def graded_with(self) -> str:
        """What changes when other code grades or rewards, while names stay: see `Task.graded_with`."""
        task = get_task(self.task)
        return (task.rewarded_by(get_rewards(self.reward_funcs)) if self.reward_funcs else task).graded_with

    def resources_of(self, arm: str) -> Resources:
        """What a job of an arm takes of a machine."""
        return self.arms[arm].resources or self.resources

    def recipe(self, arm: str, seed: int, output_dir: str, condition: str | None = None) -> Recipe:
        """What the run of an arm with a seed is trained with, under a condition where there are any.

        Raises:
            UserError: fields that `ABCGRPOConfig` does not have, or a rule that there is not.
        """
        shared = {item.name for item in fields(Recipe)} & type(self).model_fields.keys() - {"training"}
        own = {name: getattr(self, name) for name in shared}
        written, where = self.arms[arm], f"arm {arm}" + ("" if condition is None else f", condition {condition}")
        chosen = {} if written.objective == "trl" else {"rule": _rule(written, where).to_dict()}
        if (processes := self.resources_of(arm).processes) > 1:
            own["num_processes"] = processes
        overrides = {} if condition is None else self.conditions[condition]
        training = self.training | overrides | written.training | {"seed": seed, "output_dir": output_dir}
        return recipe_from_flat(own | {"objective": written.objective} | chosen | training, where)


def read_experiment(name_or_path: str) -> Experiment:
    """An experiment from a YAML file, or by the name of one that this package ships.

    Raises:
        UserError: no such experiment, an unknown key (with the nearest known one), or a value that does not fit.
    """
    path = experiment_path(name_or_path)
    content = read_yaml(path)
    try:
        experiment = Experiment.model_validate(content)
    except ValidationError as error:
        raise _explained(error, str(path)) from None
    evaluation = experiment.evaluation
    listed: dict[str, list[Any]] = {
        "seeds": experiment.seeds,
        "evaluation: pass_at_k:": evaluation.pass_at_k,
        "evaluation: benchmark:": experiment.benchmarks,
    }
    for name, values in listed.items():
        if repeated := sorted({value for value in values if values.count(value) > 1}):
            raise UserError(f"{path}: {name} {repeated} are listed twice.")
    if (largest := max(evaluation.pass_at_k)) > evaluation.samples:
        raise UserError(f"{path}: evaluation: Pass@{largest} needs at least as many samples, not {evaluation.samples}.")
    task = get_task(experiment.task, f"{path}: task")
    if evaluation.benchmark is None and task.held_out_rows is None:
        raise UserError(
            f"{path}: evaluation: benchmark is missing: task {task.name} has no held-out problems. Name a "
            f"benchmark, or a .jsonl or .parquet file."
        )
    for kind, names in (("arm", experiment.arms), ("condition", experiment.conditions)):
        for name in names:
            if not _names_a_directory(name):
                raise UserError(f"{path}: {name!r} cannot be the name of {_an(kind)}: it names a directory.")
    if BASE in experiment.arms:
        raise UserError(f"{path}: an arm cannot be called {BASE!r}, the name of the model before training in tables.")
    _require_one_place(experiment, str(path))
    for name in experiment.arms:
        if (launch := experiment.resources_of(name).launch) is not None:
            launch_configuration(launch)
            if experiment.resources_of(name).processes == 1:
                raise UserError(
                    f"{path}: resources: launch has no effect on one process: set processes, or leave it out."
                )
    _require_different(experiment, str(path))
    return experiment


def _names_a_directory(name: str) -> bool:
    return name.isprintable() and bool(name) and not name.startswith(".") and not any(c in name for c in "/\\")


def _an(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _require_one_place(experiment: Experiment, where: str) -> None:
    """Refuse fields where another place decides them: they would be overridden, or override, without a word."""
    places = {"training": experiment.training}
    places |= {f"conditions: {name}": values for name, values in experiment.conditions.items()}
    for place, values in places.items():
        if rules := sorted(values.keys() & {"rule", *THRESHOLDS}):
            raise UserError(
                f"{where}: {place}: {rules[0]} would replace every arm's own rule: set it in an "
                f"arm, as its `rule` or in its `boundaries`."
            )
    for name, arm in experiment.arms.items():
        if arm.objective == "trl" and (arm.rule is not None or arm.boundaries is not None):
            raise UserError(
                f"{where}: arms: {name}: rule and boundaries have no effect with objective: trl: its loss is TRL's own."
            )
        if arm.objective != "trl" and (rules := sorted(arm.training.keys() & {"rule", *THRESHOLDS})):
            raise UserError(
                f"{where}: arms: {name}: training: {rules[0]} is part of the arm's rule: set it in its `rule` or its "
                f"`boundaries`."
            )
    places |= {f"arms: {name}: training": arm.training for name, arm in experiment.arms.items()}
    for place, values in places.items():
        if fixed := sorted(values.keys() & {"output_dir", "seed"}):
            raise UserError(f"{where}: {place}: {fixed[0]} is set for each run by the experiment: leave it out.")
    for condition, overrides in experiment.conditions.items():
        for name, arm in experiment.arms.items():
            if both := sorted(overrides.keys() & arm.training):
                raise UserError(
                    f"{where}: {both[0]} is set by arm {name} and by condition {condition}: under that condition one "
                    f"of them would have no effect. Set it in one place."
                )


def _require_different(experiment: Experiment, where: str) -> None:
    """Refuse identical arms and identical conditions: a comparison of them would show chance only."""
    seen: dict[str, Run] = {}
    for run in experiment.runs():
        if run.seed == experiment.seeds[0]:
            recipe = experiment.recipe(run.arm, run.seed, ".", run.condition).to_flat()
            other = seen.setdefault(json.dumps(plain(recipe), sort_keys=True, default=str), run)
            if other.arm != run.arm and other.condition == run.condition:
                raise UserError(f"{where}: arms {other.arm!r} and {run.arm!r} are identical: leave one out.")
            if other.arm == run.arm and other.condition != run.condition:
                raise UserError(
                    f"{where}: conditions {other.condition!r} and {run.condition!r} are the same for arm {run.arm!r}: "
                    f"leave one out."
                )


def experiment_path(name_or_path: str) -> Path:
    """The file of an experiment: a path, or the name of a shipped one such as `quickstart`.

    Raises:
        UserError: there is none.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        return path
    shipped = shipped_experiments()
    if name_or_path not in shipped:
        raise unknown_name("experiment", name_or_path, shipped, "run")
    return shipped[name_or_path]


def _rule(arm: Arm, where: str) -> Rule:
    """The arm's rule.

    Raises:
        UserError: an unknown name or parameter, a value that does not fit, or both ways to write a rule at once.
    """
    if arm.boundaries is None:
        return resolve_rule(arm.rule or Boundaries.name, where)
    if arm.rule is not None:
        raise UserError(f"{where}: rule and boundaries are two clipping rules: leave one of them out.")
    if "rule" in arm.boundaries:
        raise UserError(
            f"{where}: boundaries are the four thresholds by name. A rule with a name is written "
            f"`rule: {{name: {arm.boundaries['rule']}, …}}`, without `boundaries`."
        )
    return resolve_rule({"name": Boundaries.name} | arm.boundaries, f"{where}: boundaries")


def _explained(error: ValidationError, where: str) -> UserError:
    """The first thing that is wrong with a file, with the nearest known name where a name is."""
    first = error.errors()[0]
    place = first["loc"]
    if first["type"] == "extra_forbidden":
        owner: type[BaseModel] = Experiment
        if place[0] == "evaluation":
            owner = EvaluationSection
        elif "resources" in place[:-1]:
            owner = Resources
        elif place[0] == "arms":
            owner = Arm
        return unknown_name("key", str(place[-1]), owner.model_fields, ": ".join([where, *map(str, place[:-1])]))
    return UserError(f"{where}: {': '.join(map(str, place))}: {mistake_in_words(first)}")
