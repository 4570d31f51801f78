"""Every option of TRL's trainer, row by row of docs/trl-options.md; see `tests.trl.options`."""

import ast
import dataclasses
import inspect
import re
from pathlib import Path

import pytest
import torch
import transformers
from datasets import Dataset
from packaging.version import Version
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from abcgrpo.tasks.countdown import BASE
from abcgrpo.tasks.tokenizer import character_tokenizer
from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer
from abcgrpo.trl.config import REFUSED_OPTIONS
from tests.trl.options import ARGUMENTS, HANDED_ON, NEWER, NO_EFFECT, PAGE, REFUSED, RUNS, page, rows
from tests.trl.trainers import abc_trainer, digits, host_trainer, settings, tiny_model

ROOT = Path(__file__).parents[2]
INSTALLED = {field.name for field in dataclasses.fields(GRPOConfig)}
OPEN = {"eps_pos_low": "inf", "eps_neg_high": "inf"}
"""Two open bounds: TRL's own loss."""


def test_every_field_and_argument_of_trl_has_a_row():
    """A field that TRL adds goes into `tests.trl.options`; one that is gone goes out of it."""
    missing = set(rows()) - INSTALLED
    assert INSTALLED - set(rows()) == set(), "what becomes of these?"
    assert missing <= NEWER
    assert not missing or Version(transformers.__version__) < Version("5.23")
    assert list(inspect.signature(GRPOTrainer.__init__).parameters) == ["self", *ARGUMENTS]


def test_the_page_is_what_is_found():
    """Among it every refusal, which is triggered for its message."""
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.trl.options"


def test_the_tests_that_the_page_names_exist():
    named = re.findall(r"`(tests/[^`]+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 100
    for test in set(named):
        file, _, name = test.partition("::")
        functions = [node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if hasattr(node, "name")]
        assert not name or name in functions, test


def test_every_refusal_of_ours_has_a_row():
    assert set(REFUSED_OPTIONS) <= set(REFUSED)


def values(config_class, folder, name, value):
    """The fields of TRL's configuration with one other value, as text; or the error that it is."""
    options = settings(folder)
    if name == "log_completions_hub_repo":
        options["log_completions"] = True
    try:
        config = config_class(**(options | {name: value}))
    except (ValueError, ImportError, RuntimeError) as error:
        return repr(error)
    return {field: repr(getattr(config, field)) for field in INSTALLED}


@pytest.mark.parametrize("name", sorted(set(HANDED_ON) & INSTALLED))
def test_what_is_handed_on_arrives_as_in_trl(tmp_path, name):
    """Every field of the two configurations is the same, and no code of ours reads this one."""
    value, _ = HANDED_ON[name]
    theirs = values(GRPOConfig, tmp_path, name, value)
    assert values(ABCGRPOConfig, tmp_path, name, value) == theirs
    assert value is None or theirs != values(GRPOConfig, tmp_path, "run_name", None)
    read = [path for path in (ROOT / "src/abcgrpo/trl").rglob("*.py") if f"args.{name}\n" in path.read_text() + "\n"]
    assert read == []


def flat(model):
    """All weights as one vector."""
    return torch.cat([value.detach().flatten() for value in model.parameters()])


def outcome(make, folder, options):
    """Weights at the end, what was logged in which step, and the files that are there."""
    model = tiny_model()
    options = {"max_steps": 3} | options
    options = options if make is host_trainer else {"generation": "stock"} | options | OPEN
    if options.get("eval_strategy"):
        options["eval_dataset"] = Dataset.from_dict({"prompt": [f"{n},{n}:{n}>" for n in range(1, 5)]})
    trainer = make(folder, model=model, **options)
    trainer.train()
    history = [(line["step"], {k: v for k, v in line.items() if "reward" in k}) for line in trainer.state.log_history]
    files = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    return flat(model), history, files - {"resume", "runs", "README.md"}


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """TRL's trainer with every option as `tests.trl.trainers.settings` has it."""
    return outcome(host_trainer, tmp_path_factory.mktemp("usual"), {})


NO_DIFFERENCE = {"batches by their sum", "cache"}
"""The first says what is the default by another name; the second saves memory."""


@pytest.mark.parametrize("name", RUNS)
def test_a_run_with_other_values_is_trls(tmp_path, usual, name):
    theirs = outcome(host_trainer, tmp_path / "host", dict(RUNS[name]))
    ours = outcome(abc_trainer, tmp_path / "ours", dict(RUNS[name]))
    moved = (theirs[0] - flat(tiny_model())).norm()
    assert moved > 1e-3
    assert (ours[0] - theirs[0]).norm() <= 1e-3 * moved
    assert [step for step, _ in ours[1]] == [step for step, _ in theirs[1]]
    for (_, one), (_, other) in zip(ours[1], theirs[1], strict=True):
        assert {key: one.get(key) for key in other} == pytest.approx(other, rel=1e-4, abs=1e-6)
    assert ours[2] == theirs[2]
    same = torch.equal(usual[0], theirs[0]) and usual[1:] == theirs[1:]
    assert same == (name in NO_DIFFERENCE), "the values matter"


def test_what_has_no_effect_has_none(tmp_path, usual):
    """All of these fields at once, in TRL's trainer and in ours: the usual weights, log and files."""
    options = {name: value for name, (value, _) in NO_EFFECT.items()}
    for make in (host_trainer, abc_trainer):
        weights, history, files = outcome(make, tmp_path / make.__name__, options)
        assert (weights - usual[0]).norm() <= 1e-5 * usual[0].norm()
        assert [step for step, _ in history] == [step for step, _ in usual[1]]
        assert files == usual[2]


def test_data_that_would_begin_anew_are_refused_when_a_run_is_resumed(tmp_path):
    run = {"max_steps": 1, "save_strategy": "steps", "save_steps": 1}
    abc_trainer(tmp_path, **run).train()
    with pytest.raises(ValueError, match="ignore_data_skip would begin the data anew"):
        abc_trainer(tmp_path, **run, ignore_data_skip=True).train(resume_from_checkpoint=True)


def test_every_argument_of_the_trainer_is_handed_on(tmp_path, monkeypatch):
    class Taken(Exception):
        pass

    def take(self, *positional, **named):
        assert positional == ()
        raise Taken(named)

    monkeypatch.setattr(GRPOTrainer, "__init__", take)
    given = {name: object() for name in ARGUMENTS} | {"args": ABCGRPOConfig(**settings(tmp_path))}
    with pytest.raises(Taken) as taken:
        ABCGRPOTrainer(**given)
    assert taken.value.args == (given,)


def test_callbacks_and_optimizers_of_ones_own(tmp_path):
    class Steps(TrainerCallback):
        def __init__(self):
            self.seen = []

        def on_step_end(self, args, state, control, **_):
            self.seen.append(state.global_step)

    ends = []
    for trainer_class, config in ((GRPOTrainer, GRPOConfig), (ABCGRPOTrainer, ABCGRPOConfig)):
        model, steps = tiny_model(), Steps()
        own = {} if config is GRPOConfig else OPEN | {"generation": "stock"}
        optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05)
        trainer_class(
            model=model,
            reward_funcs=digits,
            args=config(**settings(tmp_path, max_steps=2, **own)),
            train_dataset=Dataset.from_dict({"prompt": [f"{n},{n + 1}:{n + 2}>" for n in range(1, 65)]}),
            processing_class=character_tokenizer(BASE.characters),
            callbacks=[steps],
            optimizers=(optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)),
        ).train()
        assert steps.seen == [1, 2]
        assert all("sum" in state for state in optimizer.state.values())
        ends.append(flat(model))
    assert (ends[0] - ends[1]).norm() <= 1e-3 * (ends[0] - flat(tiny_model())).norm()
