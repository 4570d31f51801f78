"""What the paper's experiments cost, by hand and beside the one published run that says how long it took."""

import pytest

from abcgrpo.experiments.cost import cost, sentences
from abcgrpo.experiments.specification import read_experiment
from abcgrpo.training.arguments import planned_arguments
from abcgrpo.training.batches import planned_processes
from abcgrpo.training.recipe import read_recipe
from abcgrpo.training.shipped import recipe_path
from abcgrpo.trl import ABCGRPOConfig

OTHERWISE = {"max_steps", "num_train_epochs", "output_dir", "run_name", "save_only_model", "logging_dir", "seed"}
"""Arguments in which a run of the experiment is meant to differ from the recipe."""


def test_by_hand():
    found = cost(read_experiment("paper-qwen3-4b"), questions=100)
    assert found is not None
    assert found.parameters == 4_022_468_096
    tokens = 1340 * 512 * (100 + 1536)  # 8 processes × 4 × 16 rollouts in each optimizer step
    assert found.tokens_per_run == tokens
    hour = 0.1 * 989e12 * 3600
    assert found.training_hours == pytest.approx(16 * 12 * 4_022_468_096 * tokens / hour)
    answers = (1 + 16 * 3) * 100 * 64  # the base, and the checkpoints after 500, 1000 and 1340 steps
    assert found.evaluation_hours == pytest.approx(2 * 4_022_468_096 * answers * (100 + 1536) / hour)
    assert found.storage_gib == pytest.approx(16 * 3 * 4 * 4_022_468_096 / 2**30)
    said = "\n".join(sentences(found))
    assert "16 runs · 3 · 4·P bytes" in said
    assert "P = 4.02 · 10⁹" in said


def test_the_published_run_comes_out():
    """62,772 s on 8 GPUs, 1.08 · 10⁹ tokens: recipes/qwen3-4b-base/README.md."""
    found = cost(read_experiment("paper-qwen3-4b"), questions=1)
    assert found is not None
    published = 62_772 * 8 / 3600
    assert found.training_hours / 16 * 1.08e9 / found.tokens_per_run == pytest.approx(published, rel=0.1)


def test_without_a_number_of_steps_it_is_not_known():
    experiment = read_experiment("paper-qwen3-4b")
    training = {name: value for name, value in experiment.training.items() if name != "max_steps"}
    assert cost(experiment.model_copy(update={"training": training}), questions=1) is None


def test_with_an_adapter_by_hand():
    """Qwen3-1.7B: all linear layers of 28 layers, widths 2048 and 6144, 16 heads and 8 key-value heads of size 128."""
    found = cost(read_experiment("paper-qwen3-1.7b-lora"), questions=100)
    whole = cost(read_experiment("paper-qwen3-1.7b"), questions=100)
    assert found is not None
    assert whole is not None
    widths = 2 * (2048 + 2048) + 2 * (2048 + 1024) + 3 * (2048 + 6144)  # q and o; k and v; gate, up and down
    adapter = 28 * 16 * widths
    assert found.adapters == (adapter,)
    assert found.parameters == whole.parameters
    assert found.tokens_per_run == whole.tokens_per_run
    assert found.evaluation_hours == whole.evaluation_hours
    assert found.training_hours == pytest.approx(whole.training_hours * 10 / 12)  # no gradients of frozen weights
    assert found.storage_gib == pytest.approx(16 * 7 * 4 * adapter / 2**30)
    assert found.state_gib == pytest.approx(16 * adapter / 2**30)
    said = "\n".join(sentences(found))
    assert f"adapters of A = {adapter / 1e6:.1f} · 10⁶" in said
    assert "16 runs · 7 · 4·A bytes" in said


RUNS = [
    ("1.7b", "1.7b-base/paper-grpo", "GRPO"),
    ("1.7b", "1.7b-base/paper-abc-grpo", "ABC-GRPO"),
    ("4b", "4b-base/paper-grpo", "GRPO"),
    ("4b", "4b-base/paper-abc-grpo", "ABC-GRPO"),
    ("1.7b-lora", "1.7b-base/lora-abc-grpo", "ABC-GRPO"),
]


@pytest.mark.parametrize(("experiment", "recipe", "arm"), RUNS)
def test_a_run_is_that_of_the_shipped_recipe(experiment, recipe, arm):
    of_experiment = read_experiment(f"paper-qwen3-{experiment}").recipe(arm, 1, "out")
    shipped = read_recipe(recipe_path(f"qwen3-{recipe}"))
    assert planned_processes(of_experiment) == planned_processes(shipped)
    for name in (
        "adapter",
        "model_name_or_path",
        "task",
        "dataset_name",
        "max_prompt_tokens",
        "prompt_form",
    ):
        assert getattr(of_experiment, name) == getattr(shipped, name)
    processes = planned_processes(shipped)
    ours, its = planned_arguments(of_experiment, processes), planned_arguments(shipped, processes)
    assert isinstance(ours, ABCGRPOConfig)
    assert isinstance(its, ABCGRPOConfig)
    bounds = [getattr(each.clipping_rule, "boundaries", each.clipping_rule) for each in (ours, its)]
    assert bounds[0] == bounds[1]
    mine, theirs = ours.to_dict(), its.to_dict()
    rules = {"rule", "eps_pos_high", "eps_pos_low", "eps_neg_high", "eps_neg_low"}
    different = {name for name in theirs if mine.get(name) != theirs[name]} - OTHERWISE - rules
    assert different == set()
