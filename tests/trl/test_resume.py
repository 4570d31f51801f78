"""A run that goes on from any of its steps ends as one that was never stopped: weights bit for bit, and its history."""

import datetime
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers.trainer_utils import IntervalStrategy
from trl import GRPOConfig, GRPOTrainer

from abcgrpo.errors import UserError
from abcgrpo.tasks.countdown import BASE
from abcgrpo.tasks.tokenizer import character_tokenizer
from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer, FastGRPOTrainer
from abcgrpo.trl.component import Component
from abcgrpo.trl.resume import Resume
from abcgrpo.trl.resume.checkpoints import DESCRIPTION, ROLLING, STAGING, newest_complete
from abcgrpo.trl.resume.packing import packable
from abcgrpo.trl.resume.position import COUNTERS
from tests.trl.trainers import abc_trainer, digits, settings, tiny_model

STEPS = 14
RUN = {
    "max_steps": STEPS,
    "per_device_train_batch_size": 8,
    "steps_per_generation": 4,
    "gradient_accumulation_steps": 2,
    "optim": "adamw_torch",
    "learning_rate": 1e-2,
    "lr_scheduler_type": "cosine",
    "max_grad_norm": 1.0,
    "save_strategy": "steps",
    "save_steps": 1,
}
"""Two optimizer steps per rollout; 8 problems each, so that 20 problems make an epoch of two rollouts."""

CASES = {
    "two steps per rollout": {},
    "two iterations, logged every third step": {"num_iterations": 2, "logging_steps": 3},
    "a rollout that ends within an optimizer step": {"steps_per_generation": 3, "generation_batch_size": None},
    "TRL's own update": {"update": "stock", "loss_type": "bnpo"},
    "a reference model that follows": {
        "beta": 0.1,
        "sync_ref_model": True,
        "ref_model_sync_steps": 3,
        "ref_model_mixup_alpha": 0.5,
    },
    "an adapter with dropout": {"peft_config": LoraConfig(r=2, lora_dropout=0.1, target_modules=["q_proj", "v_proj"])},
    "an adapter, a trained head, the base as reference": {
        "peft_config": LoraConfig(r=2, use_dora=True, target_modules=["up_proj"], modules_to_save=["lm_head"]),
        "beta": 0.1,
    },
}


def trainer_in(folder: Path, reference: Path, problems: int = 20, **options):
    """A trainer whose model comes from a directory, as a reference model needs."""
    model = tiny_model()
    if not reference.exists():
        model.save_pretrained(reference)
    model.config._name_or_path = str(reference)
    trainer = abc_trainer(folder, model=model, **(RUN | options))
    trainer.train_dataset = trainer.train_dataset.select(range(problems))
    return trainer


def weights(trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def history(trainer) -> list[dict]:
    timed = ("step_time", "train_runtime", "train_samples_per_second", "train_steps_per_second")
    return [{name: value for name, value in line.items() if name not in timed} for line in trainer.state.log_history]


def same(first, second) -> bool:
    equal = all(torch.equal(value, weights(second)[name]) for name, value in weights(first).items())
    return equal and json.dumps(history(first), sort_keys=True) == json.dumps(history(second), sort_keys=True)


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_from_every_step_to_the_same_end(tmp_path, options):
    whole = trainer_in(tmp_path / "whole", tmp_path / "base", **options)
    whole.train()
    for step in (3, 8, 11, STEPS):
        resumed = trainer_in(tmp_path / "resumed", tmp_path / "base", **(options | {"save_strategy": "no"}))
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        assert resumed.state.global_step == STEPS
        assert same(resumed, whole), f"from step {step}"


@pytest.mark.parametrize("forgotten", ["restore", "skip_orders"])
def test_without_what_we_restore_the_end_differs(tmp_path, monkeypatch, forgotten):
    whole = trainer_in(tmp_path / "whole", tmp_path / "base")
    whole.train()
    monkeypatch.setattr(Resume, forgotten, lambda *_: None)
    resumed = trainer_in(tmp_path / "resumed", tmp_path / "base", save_strategy="no")
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-7"))  # in the second epoch, mid-rollout
    assert not same(resumed, whole)


def test_the_hosts_own_resume_differs(tmp_path):
    """What this is for: if it fails, TRL saves what it left out, and this module may go."""

    def run(folder, resume=None, **options):
        trainer = GRPOTrainer(
            model=tiny_model(),
            reward_funcs=digits,
            args=GRPOConfig(**settings(folder, **(RUN | options))),
            train_dataset=Dataset.from_dict({"prompt": [f"{n},{n + 1}:{n + 2}>" for n in range(1, 21)]}),
            processing_class=character_tokenizer(BASE.characters),
        )
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    whole = run(tmp_path / "whole")
    resumed = run(tmp_path / "resumed", str(tmp_path / "whole" / "checkpoint-3"), save_strategy="no")
    assert any(not torch.equal(value, weights(resumed)[name]) for name, value in weights(whole).items())


def test_trls_own_losses_go_on_as_well(tmp_path):
    def run(folder, resume=None):
        trainer = FastGRPOTrainer(
            model=tiny_model(),
            reward_funcs=digits,
            args=GRPOConfig(**settings(folder, **(RUN | {"loss_type": "cispo", "epsilon_high": 5.0}))),
            train_dataset=Dataset.from_dict({"prompt": [f"{n},{n + 1}:{n + 2}>" for n in range(1, 21)]}),
            processing_class=character_tokenizer(BASE.characters),
        )
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    whole = run(tmp_path / "whole")
    assert same(run(tmp_path / "resumed", str(tmp_path / "whole" / "checkpoint-5")), whole)


def test_small_checkpoints_and_one_rolling_state(tmp_path):
    options = {"save_only_model": True, "save_steps": 5, "resume_minutes": 0}
    whole = trainer_in(tmp_path / "run", tmp_path / "base", **options)
    whole.train()
    assert sorted(path.name for path in (tmp_path / "run").glob("checkpoint-*")) == [
        "checkpoint-10",
        f"checkpoint-{STEPS}",
        "checkpoint-5",
    ]
    assert not list((tmp_path / "run").glob("checkpoint-*/optimizer.pt"))
    assert [path.name for path in (tmp_path / "run" / ROLLING).iterdir()] == [f"checkpoint-{STEPS - 1}"]
    resumed = trainer_in(tmp_path / "run", tmp_path / "base", **options)
    resumed.train(resume_from_checkpoint=True)
    assert same(resumed, whole)


def test_no_rolling_state_before_its_time(tmp_path):
    trainer_in(tmp_path / "run", tmp_path / "base", save_strategy="no").train()
    assert not (tmp_path / "run" / ROLLING).exists()


def test_resume_takes_the_newest_complete_state(tmp_path):
    trainer_in(tmp_path / "run", tmp_path / "base", max_steps=4).train()
    assert newest_complete(tmp_path / "run") == tmp_path / "run" / "checkpoint-4"
    shutil.copytree(tmp_path / "run" / "checkpoint-4", tmp_path / "run" / ROLLING / "checkpoint-6")
    assert newest_complete(tmp_path / "run") == tmp_path / "run" / ROLLING / "checkpoint-6"
    shutil.move(tmp_path / "run" / ROLLING / "checkpoint-6", tmp_path / "run" / ROLLING / STAGING / "checkpoint-6")
    (tmp_path / "run" / "checkpoint-4" / DESCRIPTION).unlink()
    assert newest_complete(tmp_path / "run") == tmp_path / "run" / "checkpoint-3"


def test_another_configuration_is_refused_with_the_differences(tmp_path):
    trainer_in(tmp_path / "run", tmp_path / "base", max_steps=2).train()
    other = trainer_in(tmp_path / "run", tmp_path / "base", max_steps=2, learning_rate=0.5, eps_neg_high=3.0)
    with pytest.raises(UserError) as refused:
        other.train(resume_from_checkpoint=True)
    lines = str(refused.value).splitlines()
    assert "  learning_rate was 0.01, is 0.5" in lines
    assert "  eps_neg_high was 0.2, is 3.0" in lines
    assert sum(" was " in line for line in lines) == 2
    with pytest.raises(UserError, match="training set was '20 rows"):
        trainer_in(tmp_path / "run", tmp_path / "base", max_steps=2, problems=16).train(resume_from_checkpoint=True)
    elsewhere = trainer_in(tmp_path / "moved", tmp_path / "base", max_steps=2, save_steps=2, run_name="again")
    elsewhere.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-1"))  # these may differ


def test_another_adapter_is_refused_with_the_differences(tmp_path):
    def trainer(**changes):
        adapter = LoraConfig(**{"r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]} | changes)
        return trainer_in(tmp_path / "run", tmp_path / "base", max_steps=2, peft_config=adapter)

    trainer().train()
    for changes in ({"lora_alpha": 5}, {"use_rslora": True}, {"lora_dropout": 0.1}, {"target_modules": ["v_proj"]}):
        with pytest.raises(UserError, match=rf"\n  adapters was .*{next(iter(changes))}"):
            trainer(**changes).train(resume_from_checkpoint=True)
    trainer().train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-1"))


def test_what_changes_no_weight_may_differ(tmp_path):
    whole = trainer_in(tmp_path / "whole", tmp_path / "base", max_steps=6)
    whole.train()
    free = {"logging_steps": 3, "log_completions": True, "dataloader_num_workers": 1, "update_entropy": False}
    free["shadow_rules"] = ["clip_higher"]
    resumed = trainer_in(tmp_path / "resumed", tmp_path / "base", max_steps=6, save_strategy="no", **free)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(resumed).items())
    assert [line["step"] for line in history(resumed) if "loss" in line] == [1, 2, 3, 6]  # the new interval is followed


def test_training_longer_at_a_constant_rate_is_exact(tmp_path):
    constant = {"lr_scheduler_type": "constant"}
    whole = trainer_in(tmp_path / "whole", tmp_path / "base", **constant, max_steps=8)
    whole.train()
    short = trainer_in(tmp_path / "short", tmp_path / "base", **constant, max_steps=5)
    short.train()
    longer = trainer_in(tmp_path / "longer", tmp_path / "base", **constant, max_steps=8, save_strategy="no")
    longer.train(resume_from_checkpoint=str(tmp_path / "short" / "checkpoint-5"))
    assert longer.state.global_step == 8
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(longer).items())
    for schedule in ({}, {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 0.5}):  # both look at max_steps
        trainer_in(tmp_path / "cosine", tmp_path / "base", **schedule, max_steps=2).train()
        other = trainer_in(tmp_path / "cosine", tmp_path / "base", **schedule, max_steps=8)
        with pytest.raises(UserError, match="max_steps was 2, is 8"):
            other.train(resume_from_checkpoint=True)


def test_another_run_goes_on_where_it_is_asked_for(tmp_path, caplog):
    trainer_in(tmp_path / "run", tmp_path / "base", max_steps=4).train()
    options = {"max_steps": 8, "learning_rate": 0.02, "lr_scheduler_type": "linear", "resume_as_another_run": True}
    other = trainer_in(tmp_path / "other", tmp_path / "base", **options)
    other.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    assert other.state.global_step == 8
    rates = {line["step"]: line["learning_rate"] for line in history(other) if "learning_rate" in line}
    assert [rates[step] for step in (4, 5, 8)] == pytest.approx([0.02 * (8 - step + 1) / 8 for step in (4, 5, 8)])
    assert "From step 3 on this run is another than that of" in caplog.text
    assert "learning_rate was 0.01, is 0.02" in caplog.text
    description = json.loads((tmp_path / "other" / "checkpoint-8" / DESCRIPTION).read_text())
    (earlier,) = description["continued_from"]
    assert earlier["step"] == 3
    assert "max_steps was 4, is 8" in earlier["changes"]
    again = trainer_in(tmp_path / "other", tmp_path / "base", **(options | {"save_strategy": "no"}))
    again.train(resume_from_checkpoint=str(tmp_path / "other" / "checkpoint-6"))
    assert same(again, other)  # it is a run like any other
    assert again.resume.continued_from == other.resume.continued_from
    with pytest.raises(UserError, match="another model or optimizer"):
        trainer_in(tmp_path / "x", tmp_path / "base", **(options | {"optim": "sgd"})).train(
            resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3")
        )


def test_a_checkpoint_of_trls_own_trainer_is_started_from(tmp_path):
    stock = GRPOTrainer(
        model=tiny_model(),
        reward_funcs=digits,
        args=GRPOConfig(**settings(tmp_path / "stock", **(RUN | {"max_steps": 2}))),
        train_dataset=Dataset.from_dict({"prompt": [f"{n},{n + 1}:{n + 2}>" for n in range(1, 21)]}),
        processing_class=character_tokenizer(BASE.characters),
    )
    stock.train()
    checkpoint = str(tmp_path / "stock" / "checkpoint-2")
    with pytest.raises(UserError, match="resume_as_another_run"):
        trainer_in(tmp_path / "run", tmp_path / "base", max_steps=4).train(resume_from_checkpoint=checkpoint)
    ours = trainer_in(tmp_path / "run", tmp_path / "base", max_steps=4, resume_as_another_run=True)
    ours.train(resume_from_checkpoint=checkpoint)
    assert ours.state.global_step == 4
    assert float(next(iter(ours.optimizer.state.values()))["step"]) == 4.0
    assert ours.resume.continued_from[0]["changes"] == ["it was written by another trainer"]


def test_a_table_for_show_ends_no_run(tmp_path):
    """Numpy's numbers and dates among the columns, and a run that is resumed and shows them with later ones."""

    def dated(completions, log_extra, **_):
        log_extra("score", [np.float64(index) for index in range(len(completions))])
        log_extra("on", [datetime.date(2026, 11, 24)] * len(completions))
        return digits(completions)

    options = {"log_completions": True, "reward": dated, "max_steps": 4, "logging_steps": 4, "save_strategy": "steps"}
    whole = trainer_in(tmp_path / "whole", tmp_path / "base", **options)
    whole.train()
    resumed = trainer_in(tmp_path / "resumed", tmp_path / "base", **(options | {"save_strategy": "no"}))
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert same(resumed, whole)
    table = pd.read_parquet(tmp_path / "resumed" / "completions" / "completions_00004.parquet")
    assert table["score"].notna().all()
    assert set(table["on"].dropna()) <= {datetime.date(2026, 11, 24)}


def test_packable_keeps_what_it_can():
    image = object()
    value = {"n": np.int64(3), 4: [np.float32(0.5), image, "text", (True, None)]}
    assert packable(value) == {"n": 3, "4": [0.5, None, "text", [True, None]]}


def test_a_secret_among_the_arguments_reaches_no_checkpoint(tmp_path):
    model = {"model_init_kwargs": {"token": "hf_not_for_others", "dtype": "float32"}}
    tiny_model().save_pretrained(tmp_path / "base")
    abc_trainer(tmp_path / "run", model=str(tmp_path / "base"), **(RUN | model | {"max_steps": 1})).train()
    written = [path for path in (tmp_path / "run").rglob("*.json") if "hf_not_for_others" in path.read_text()]
    assert written == []
    assert "<not kept>" in (tmp_path / "run" / "checkpoint-1" / DESCRIPTION).read_text()


def test_a_checkpoint_without_a_state_is_refused(tmp_path):
    trainer_in(tmp_path / "run", tmp_path / "base", max_steps=2, save_only_model=True).train()
    with pytest.raises(UserError, match="save_only_model"):
        trainer_in(tmp_path / "run", tmp_path / "base", max_steps=2).train(
            resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2")
        )
    with pytest.raises(UserError, match="holds no complete state"):
        trainer_in(tmp_path / "run", tmp_path / "base", max_steps=2).train(resume_from_checkpoint=True)


def test_the_limit_on_checkpoints_never_removes_the_last_whole_one(tmp_path, monkeypatch):
    trainer = trainer_in(tmp_path / "run", tmp_path / "base", max_steps=3, save_total_limit=1)
    save_state = Resume._save_state

    def full_disk(self, checkpoint):
        if self.trainer.state.global_step == 3:
            raise OSError(28, "No space left on device")
        save_state(self, checkpoint)

    monkeypatch.setattr(Resume, "_save_state", full_disk)
    with pytest.raises(UserError, match=r"step 3 could not be written.*No space left.*checkpoint-2"):
        trainer.train()
    assert [path.name for path in (tmp_path / "run").glob("*checkpoint-*")] == ["checkpoint-2"]
    assert not (tmp_path / "run" / STAGING).exists()


def test_the_best_checkpoint_is_known_by_its_name(tmp_path):
    trainer = trainer_in(tmp_path / "run", tmp_path / "base", max_steps=2, per_device_eval_batch_size=8)
    for name, value in {
        "eval_strategy": IntervalStrategy.STEPS, "eval_steps": 1, "load_best_model_at_end": True,
        "metric_for_best_model": "reward", "greater_is_better": True,
    }.items():  # fmt: skip
        setattr(trainer.args, name, value)
    trainer.eval_dataset = trainer.train_dataset.select(range(2))
    trainer.train()
    best = trainer.state.best_model_checkpoint
    assert best in [str(tmp_path / "run" / f"checkpoint-{step}") for step in (1, 2)]
    state = json.loads((tmp_path / "run" / "checkpoint-1" / "trainer_state.json").read_text())
    assert state["best_model_checkpoint"] == str(tmp_path / "run" / "checkpoint-1")


KEPT = {
    "trainer": {*COUNTERS},
    "update": {"_old_elided", "_stock_width", "_own_path"},
    "rewards": set(),
    "advantages": set(),
    "measurement": set(),
    "shadow": set(),
    "tokens": set(),
    "numbers": {"skipped", "skipped_in_a_row"},
    "resume": {"_earlier_seconds", "continued_from"},
}
"""What is saved, by component."""
PASSING = {
    "trainer": {"_passing"},
    "update": {"_pass", "_counts", "_deferring", "_old_deferred", "_told"},
    "rewards": {"_failures", "_left_out"},
    "advantages": {"_rewards"},
    "measurement": {"_sums", "_largest_ratio", "_logged_entropies", "_told"},
    "shadow": {"_sums"},
    "tokens": {"_step", "_last"},
    "numbers": {"_passes", "_step_is_bad", "_above"},
    "resume": {
        "_signals", "_point", "_saved_at", "_last_saved", "_session_started", "_train_sampler", "interrupted",
        "staging", "_changes",
    },
}  # fmt: skip
"""What is of one micro-batch, one step, one rollout's making, one session, or what a log has said already."""
FIXED = {
    "trainer": {"components", "fast_update", "reward_guards", "advantages", "resume", "rule", "sampler_dtype"},
    "update": {"parts", "_on", "_measures_entropy", "_scorer"},
    "rewards": {"_most"},
    "advantages": {"_estimator"},
    "measurement": set(),
    "shadow": {"_rules", "rules"},
    "tokens": {"_responses", "_rule", "_path"},
    "numbers": {"_limits", "_most_in_a_row"},
    "resume": {"_minutes"},
}
"""What follows from the configuration."""


def test_nothing_that_the_rollout_needs_is_forgotten(tmp_path):
    """Everything that the trainer and its components keep between steps is saved, or known not to need it."""
    ours = trainer_in(tmp_path / "ours", tmp_path / "base")
    host = GRPOTrainer(
        model=tiny_model(),
        reward_funcs=digits,
        args=GRPOConfig(**settings(tmp_path / "host", **RUN)),
        train_dataset=ours.train_dataset,
        processing_class=character_tokenizer(BASE.characters),
    )
    found = {"trainer": set(vars(ours)) - set(vars(host))}
    found |= {component.name: set(vars(component)) - {"trainer"} for component in ours.components}
    assert len(found) == 1 + len(ours.components)
    assert found.keys() == KEPT.keys()
    for name, attributes in found.items():
        unknown = attributes - KEPT[name] - PASSING[name] - FIXED[name]
        assert not unknown, f"save {unknown} of {name} in its state_dict, or say here why not"
        if name != "trainer":
            state = next(component.state_dict() for component in ours.components if component.name == name)
            assert len(state) == len(KEPT[name])


def test_a_component_of_ones_own_is_saved_and_restored(tmp_path):
    class Counter(Component):
        name = "counter"
        steps = 0

        def step_ends(self, passed, metrics):
            self.steps += 1

        def state_dict(self):
            return {"steps": self.steps}

        def load_state_dict(self, state):
            self.steps = state["steps"]

    class Counting(ABCGRPOTrainer):
        def observers(self):
            return [*super().observers(), Counter(self)]

    def run(folder, **options):
        return Counting(
            model=tiny_model(),
            reward_funcs=digits,
            args=ABCGRPOConfig(**settings(folder, **(RUN | {"max_steps": 5} | options))),
            train_dataset=Dataset.from_dict({"prompt": [f"{n},{n + 1}:{n + 2}>" for n in range(1, 21)]}),
            processing_class=character_tokenizer(BASE.characters),
        )

    run(tmp_path / "run").train()
    resumed = run(tmp_path / "resumed", save_strategy="no")
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    (counter,) = [component for component in resumed.components if component.name == "counter"]
    assert counter.steps == 5


def test_the_hosts_checkpoint_for_signals_is_refused(tmp_path):
    with pytest.raises(ValueError, match="enable_jit_checkpoint saves in the middle of a step"):
        trainer_in(tmp_path / "run", tmp_path / "base", enable_jit_checkpoint=True)
