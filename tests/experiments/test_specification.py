import math
from pathlib import Path

import pytest

import abcgrpo
from abcgrpo import Boundaries
from abcgrpo.errors import UserError
from abcgrpo.experiments.jobs.runner import ExperimentRunner
from abcgrpo.experiments.specification import experiment_path, read_experiment
from abcgrpo.rules import RULES, resolve_rule
from abcgrpo.training.arguments import planned_arguments
from abcgrpo.training.batches import planned_processes
from abcgrpo.training.recipe import read_recipe, recipe_from_flat
from abcgrpo.trl import ABCGRPOConfig, FastGRPOConfig

SHIPPED = sorted((Path(abcgrpo.__file__).parent / "recipes").glob("*.yaml"))

RECIPE = """
model_name_or_path: countdown-base
num_problems: 64
learning_rate: 1e-5
eps_neg_high: inf
max_steps: 2
bf16: false
"""

EXPERIMENT = """
model_name_or_path: countdown-base
arms:
  GRPO: {rule: grpo}
  ABC-GRPO: {boundaries: {eps_pos_low: 0.1}, training: {learning_rate: 2e-5}}
training: {learning_rate: 1e-5, max_steps: 4}
"""


def written(tmp_path, text) -> Path:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return path


def test_a_recipe_in_types_of_the_configuration(tmp_path):
    recipe = read_recipe(written(tmp_path, RECIPE), {"max_steps": "3", "use_cpu": "true", "num_problems": "8"})
    assert recipe.num_problems == 8
    assert recipe.training["learning_rate"] == 1e-5
    assert recipe.training["eps_neg_high"] == math.inf
    assert recipe.training["max_steps"] == 3
    assert recipe.training["use_cpu"] is True
    assert recipe.training["output_dir"] == "runs/file"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("learning_rat: 1e-5", "Did you mean 'learning_rate'"),
        ("eps_neg_hihg: 0.2", "Did you mean 'eps_neg_high'"),
        ("max_steps: many", "max_steps='many'"),
        ("max_steps: 1.5", "max_steps=1.5"),
        ("num_problems: 0", "should be at least 1"),
        ("max_steps: 2\nmax_steps: 3", "found duplicate key"),
        ("- [", "cannot be read as YAML"),
    ],
)
def test_a_mistake_in_a_recipe(tmp_path, line, message):
    text = "model_name_or_path: countdown-base\n" + line
    with pytest.raises(UserError, match=message):
        read_recipe(written(tmp_path, text))


def test_a_secret_has_no_place_in_a_recipe(tmp_path):
    with pytest.raises(UserError, match="hub_token is a secret") as refused:
        read_recipe(written(tmp_path, RECIPE + "hub_token: hf_abcdefgh"))
    assert "hf_abcdefgh" not in str(refused.value)


def test_a_recipe_without_a_model(tmp_path):
    with pytest.raises(UserError, match="model_name_or_path is missing"):
        read_recipe(written(tmp_path, "max_steps: 2"))


@pytest.mark.parametrize("content", ["", "just words", "- a\n- b"])
def test_a_file_that_holds_no_mapping(tmp_path, content):
    with pytest.raises(UserError, match="key: value"):
        read_recipe(written(tmp_path, content))


def test_arms_differ_in_what_they_say_and_in_nothing_else(tmp_path):
    experiment = read_experiment(str(written(tmp_path, EXPERIMENT)))
    grpo, abc = (experiment.recipe(arm, 3, "out").to_flat() for arm in experiment.arms)
    assert grpo["seed"] == abc["seed"] == 3
    assert {name for name in grpo if grpo[name] != abc[name]} == {"learning_rate", "rule"}
    assert abc["rule"] == Boundaries(eps_pos_low=0.1).to_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("ABC-GRPO: {boundaries", "ABC-GRPO: {bounds"), "Did you mean 'boundaries'"),
        (("rule: grpo", "rule: grop"), "Did you mean 'grpo'"),
        (("rule: grpo", "rule: {name: grpo, epsilon: 0.2}"), "Did you mean 'eps'"),
        (("rule: grpo", "rule: nowhere.Mine"), "arm GRPO: .* 'nowhere.Mine' cannot be imported"),
        (("rule: grpo", "rule: grpo, boundaries: {eps_pos_low: 0.1}"), "rule and boundaries are two clipping rules"),
        (("rule: grpo", "boundaries: {rule: grpo}"), "is written `rule: {name: grpo, …}`"),
        (("rule: grpo", "training: {eps_pos_low: 0.1}"), "eps_pos_low is part of the arm's rule"),
        (("training: {learning_rate: 1e-5", "training: {rule: grpo, learning_rate: 1e-5"), "rule would replace"),
        (("eps_pos_low: 0.1", "eps_pos_lo: 0.1"), "Did you mean 'eps_pos_low'"),
        (("eps_pos_low: 0.1", "eps_pos_low: -0.1"), "eps_pos_low must be a number ≥ 0"),
        (("training: {learning_rate: 1e-5", "training: {learning_rte: 1e-5"), "Did you mean 'learning_rate'"),
        (("arms:", "seeds: [1, 1]\narms:"), "listed twice"),
        (("arms:", "seeds: []\narms:"), "seeds"),
        (("arms:", "evaluation: {question: 3}\narms:"), "Did you mean 'questions'"),
        (("arms:", "evaluation: {samples: 8}\narms:"), "Pass@64 needs at least as many samples"),
        (("arms:", "evaluation: {top_p: 0}\narms:"), "evaluation: top_p: input should be greater than 0"),
        (("arms:", "evaluation: {sampler: vlm}\narms:"), "evaluation: sampler: input should be 'transformers', 'vllm'"),
        (("arms:", "evaluation: {retries: 2}\narms:"), "evaluation: retries has no effect without server"),
        (("arms:", "evaluation: {sampler: server}\narms:"), "evaluation: sampler server needs its URL"),
        (("arms:", "evaluation: {sampler: vllm, server: http://a/v1}\narms:"), "give one of them"),
        (("arms:", "tasks: countdown\narms:"), "Did you mean 'task'"),
        (("  GRPO:", "  ../GRPO:"), "cannot be the name of an arm"),
        (("GRPO: {rule", "GRPO: {objective: trl, rule"), "have no effect with objective: trl"),
        (("GRPO: {rule: grpo", "GRPO: {objective: verl"), "objective: input should be"),
        (("  GRPO:", '  "GR\\0PO":'), "cannot be the name of an arm"),
        (("training: {learning_rate: 1e-5", "training: {output_dir: ../elsewhere"), "output_dir is set for each run"),
        (("training: {learning_rate: 2e-5", "training: {output_dir: /etc"), "output_dir is set for each run"),
    ],
)
def test_a_mistake_in_an_experiment(tmp_path, change, message):
    text = EXPERIMENT.replace(*change)
    assert text != EXPERIMENT
    with pytest.raises(UserError, match=message):
        read_experiment(str(written(tmp_path, text)))


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ("loss_type: cispo, epsilon_high: 5.0", None),
        ("importance_sampling_level: sequence, update: stock", None),
        ("eps_pos_low: 0.2", "eps_pos_low is a threshold of ABC-GRPO"),
        ("loss_typ: cispo", "Did you mean 'loss_type'"),
    ],
)
def test_an_arm_with_one_of_trls_own_losses(tmp_path, training, message):
    arm = f"  OTHER: {{objective: trl, training: {{{training}}}}}\n"
    path = written(
        tmp_path, EXPERIMENT.replace("training: {learning_rate: 1e-5, m", arm + "training: {max_grad_norm: 1, m")
    )
    if message:
        with pytest.raises(UserError, match=message):
            read_experiment(str(path))
        return
    recipe = read_experiment(str(path)).recipe("OTHER", 3, "out")
    assert recipe.objective == "trl"
    assert not [name for name in recipe.training if name.startswith("eps_")]
    arguments = FastGRPOConfig(**recipe.training, use_cpu=True, bf16=False)
    assert (arguments.loss_type, arguments.importance_sampling_level) in (("cispo", "token"), ("dapo", "sequence"))
    assert recipe_from_flat(recipe.to_flat(), "again") == recipe


def test_shipped_studies_share_no_seed():
    """What one has chosen must not be tested on its own seeds by another."""
    experiments = [read_experiment(str(path)) for path in SHIPPED]
    seeds = [(each.model_name_or_path, seed) for each in experiments for seed in each.seeds]
    assert len(SHIPPED) > 5
    assert len(seeds) == len(set(seeds))


def test_a_shipped_experiment_has_a_name():
    assert experiment_path("quickstart").is_file()
    with pytest.raises(UserError, match="Did you mean 'quickstart'"):
        experiment_path("quikstart")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_experiment_loads_into_the_trainers_configuration(path, tmp_path):
    experiment = read_experiment(str(path))
    for arm in experiment.arms:
        recipe = experiment.recipe(arm, experiment.seeds[0], str(tmp_path))
        assert isinstance(planned_arguments(recipe, planned_processes(recipe)), ABCGRPOConfig)


def test_the_arms_of_the_quickstart_differ_in_the_rule_alone():
    experiment = read_experiment("quickstart")
    grpo, abc = (experiment.recipe(arm, 0, "out").to_flat() for arm in ("GRPO", "ABC-GRPO"))
    assert {name for name in grpo if grpo[name] != abc[name]} == {"rule"}
    assert (grpo["rule"], abc["rule"]) == ({"name": "grpo", "eps": 0.2}, Boundaries().to_dict())


@pytest.mark.parametrize("name", RULES)
def test_every_rule_may_be_an_arm(tmp_path, name):
    experiment = read_experiment(str(written(tmp_path, EXPERIMENT.replace("rule: grpo", f"rule: {{name: {name}}}"))))
    recipe = experiment.recipe("GRPO", 0, "out")
    arguments = ABCGRPOConfig(**recipe.training, use_cpu=True, bf16=False)
    assert isinstance(arguments, ABCGRPOConfig)
    assert (
        arguments.clipping_rule == resolve_rule(name)
        or arguments.clipping_rule.to_dict() == resolve_rule(name).to_dict()
    )
    assert recipe_from_flat(recipe.to_flat(), "again") == recipe


def test_a_rule_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "my_rules.py").write_text(
        "from dataclasses import dataclass\n\nfrom abcgrpo.rules import Rule\n\n\n"
        "@dataclass(frozen=True)\nclass Mine(Rule):\n    factor: float = 2.0\n\n"
        "    def surrogate(self, tokens):\n        return self.factor * tokens.ratio * tokens.advantages\n"
    )
    monkeypatch.chdir(tmp_path)
    text = EXPERIMENT.replace("rule: grpo", "rule: {name: my_rules.Mine, factor: 3.0}")
    recipe = read_experiment(str(written(tmp_path, text))).recipe("GRPO", 0, "out")
    assert recipe.training["rule"] == {"name": "my_rules.Mine", "factor": 3.0}


LADDER = """
model_name_or_path: countdown-base
seeds: [3, 4]
arms:
  GRPO: {rule: grpo}
  ABC-GRPO: {}
conditions:
  fresh: {steps_per_generation: 1}
  16 mini-batches: {steps_per_generation: 16, learning_rate: 1e-5}
training: {steps_per_generation: 4, max_steps: 4, learning_rate: 3e-5}
"""


def test_conditions_are_overrides_of_training(tmp_path):
    experiment = read_experiment(str(written(tmp_path, LADDER)))
    runs = experiment.runs()
    assert len(runs) == 8
    assert [run.name for run in runs[:4]] == [
        "fresh, GRPO, seed 3", "fresh, ABC-GRPO, seed 3", "16 mini-batches, GRPO, seed 3",
        "16 mini-batches, ABC-GRPO, seed 3",
    ]  # fmt: skip
    fresh, stale = (experiment.recipe("GRPO", 3, "out", name).training for name in experiment.conditions)
    assert (fresh["steps_per_generation"], fresh["learning_rate"]) == (1, 3e-5)
    assert (stale["steps_per_generation"], stale["learning_rate"]) == (16, 1e-5)
    jobs = ExperimentRunner(experiment, tmp_path / "out").jobs
    places = [str(job.directory.relative_to(tmp_path / "out")) for job in jobs[:3]]
    assert places == ["base", "conditions/fresh/arms/GRPO/seed-3", "conditions/fresh/arms/ABC-GRPO/seed-3"]
    assert jobs[1].recipe["output_dir"] == str(jobs[1].directory / "training")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("fresh: {", "../fresh: {"), "cannot be the name of a condition"),
        (("fresh: {steps_per_generation: 1}", "fresh: {steps_per_generatio: 1}"), "condition fresh: there is no key"),
        (
            ("fresh: {steps_per_generation: 1}", "fresh: {eps_pos_low: 1}"),
            "conditions: fresh: eps_pos_low would replace",
        ),
        (("fresh: {steps_per_generation: 1}", "fresh: {seed: 1}"), "conditions: fresh: seed is set for each run"),
        (("ABC-GRPO: {}", "ABC-GRPO: {training: {learning_rate: 1}}"), "set by arm ABC-GRPO and by condition 16 mini"),
        (("fresh: {steps_per_generation: 1}", "fresh: {steps_per_generation: 4}\n  same: {}"), "are the same for arm"),
    ],
)
def test_a_mistake_in_the_conditions(tmp_path, change, message):
    text = LADDER.replace(*change)
    assert text != LADDER
    with pytest.raises(UserError, match=message):
        read_experiment(str(written(tmp_path, text)))
