"""Shadow rules in a run: against the same rules really trained, and beside TRL's own losses."""

import pytest
import torch

from abcgrpo.rules import resolve_rule
from abcgrpo.shadow import ShadowRules
from abcgrpo.trl import ABCGRPOConfig, FastGRPOConfig, FastGRPOTrainer
from tests.trl.trainers import abc_trainer, loss_and_gradient, rollout, trainer_of


def logged(trainer) -> dict[str, list[float]]:
    return {name: values for name, values in trainer._metrics["train"].items() if name.startswith("shadow/")}


@pytest.mark.parametrize("rule", ["grpo", "sapo", "spo"])
def test_a_shadow_is_what_the_rule_shows_of_itself_when_it_is_trained(tmp_path, rule: str) -> None:
    beside, trained = abc_trainer(tmp_path, shadow_rules=[rule]), abc_trainer(tmp_path, rule=rule)
    for trainer in (beside, trained):
        loss_and_gradient(trainer, rollout(trainer))
    for place in ("", "/q1", "/q2", "/q3", "/q4"):
        (found,), (expected,) = (
            logged(beside)[f"shadow/removed/{rule}{place}"],
            logged(trained)[f"shadow/removed/trained{place}"],
        )
        assert found == pytest.approx(expected, abs=1e-6)
    assert logged(beside)[f"shadow/removed/{rule}"][0] > 0.01


def test_one_value_per_step_over_its_micro_batches(tmp_path) -> None:
    trainer = abc_trainer(tmp_path, gradient_accumulation_steps=2)
    batches = [rollout(trainer, seed=seed) for seed in (1, 2)]
    batches[1]["completion_mask"][:6] = 0  # micro-batches of very unequal numbers of tokens
    rules = ShadowRules(resolve_rule("abc_grpo"), {"grpo": resolve_rule("grpo")})
    sums: dict[str, torch.Tensor] = {}
    for index, inputs in enumerate(batches):
        trainer.accelerator.gradient_state._set_sync_gradients(index == 1)
        loss_and_gradient(trainer, inputs)
        with torch.no_grad():
            logprobs = trainer.policy_logprobs(trainer.model, inputs)
        given = inputs["old_per_token_logps"], inputs["advantages"], inputs["completion_mask"]
        for name, value in rules.measure(logprobs, *given).items():
            sums[name] = sums.get(name, torch.zeros(())) + value
    expected = rules.summarize(sums)
    for name in ("removed/grpo", "removed/trained/q4", "distance/trained/grpo"):
        assert logged(trainer)[f"shadow/{name}"] == [pytest.approx(expected[name], rel=1e-5)]


def test_the_first_mini_batch_of_a_rollout_is_0(tmp_path) -> None:
    trainer = abc_trainer(tmp_path)
    inputs = rollout(trainer)
    del inputs["old_per_token_logps"]
    loss_and_gradient(trainer, inputs)
    assert set(map(tuple, logged(trainer).values())) == {(0.0,)}


def test_an_empty_list_switches_them_off(tmp_path) -> None:
    trainer = abc_trainer(tmp_path, shadow_rules=[])
    loss_and_gradient(trainer, rollout(trainer))
    assert logged(trainer) == {}


def test_beside_trls_own_losses_other_rules_are_measured_too(tmp_path) -> None:
    trainer = trainer_of(FastGRPOTrainer, FastGRPOConfig, tmp_path, None, {})
    loss_and_gradient(trainer, rollout(trainer))
    assert logged(trainer)["shadow/removed/grpo"][0] > 0.01
    assert not any("trained" in name for name in logged(trainer))


@pytest.mark.parametrize(
    ("rules", "message"),
    [(["m2po"], "m2po cannot be measured"), (["self_tuned"], "only its own training"), (["grpoo"], "Did you mean")],
)
def test_what_cannot_be_measured_is_refused(tmp_path, rules: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ABCGRPOConfig(str(tmp_path), shadow_rules=rules, use_cpu=True, bf16=False, report_to=[])
