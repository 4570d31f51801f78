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
from transformers import Qwen3ForSequenceClassification, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from abcgrpo.tasks.countdown import BASE
from abcgrpo.tasks.tokenizer import character_tokenizer
from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer
from abcgrpo.trl.config import REFUSED_OPTIONS
from tests.trl.options import ARGUMENTS, HANDED_ON, NEWER, NO_EFFECT, PAGE, REFUSED, RUNS, page, rows
from tests.trl.trainers import abc_trainer, digits, host_trainer, settings, tiny_model

ROOT = Path(__file__).parents[2]
INSTALLED = {field.name for field in dataclasses.fields(GRPOConfig)}
GRPO = {"eps_pos_low": "inf", "eps_neg_high": "inf"}
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
    assert len(named) > 25
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
    """All fields of the two configurations are the same, or the same error is told. No code of ours reads this field,
    but for two, of which the page says what is done."""
    value, _ = HANDED_ON[name]
    theirs = values(GRPOConfig, tmp_path, name, value)
    assert values(ABCGRPOConfig, tmp_path, name, value) == theirs
    assert theirs != values(GRPOConfig, tmp_path, "run_name", None), "the value is the default"
    sources = "\n".join(path.read_text() for path in (ROOT / "src/abcgrpo/trl").rglob("*.py"))
    assert bool(re.search(rf"\bargs\.{name}\b", sources)) == (name in ("fp16", "push_to_hub"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model that has a path, from which TRL loads a reference model as well."""
    folder = tmp_path_factory.mktemp("base")
    tiny_model().save_pretrained(folder)
    return str(folder)


def outcome(make, folder, base, options):
    """Weights at the end, the rewards that were logged in each step, and the files that are there."""
    options = {"max_steps": 3} | options
    if make is not host_trainer:
        options = {"generation": "stock"} | options | GRPO
    if options.get("eval_strategy"):
        options["eval_dataset"] = Dataset.from_dict({"prompt": [f"{n},{n}:{n}>" for n in range(1, 5)]})
    trainer = make(folder, model=base, **options)
    trainer.train()
    history = [(line["step"], {k: v for k, v in line.items() if "reward" in k}) for line in trainer.state.log_history]
    files = {path.relative_to(folder).parts[0] for path in Path(folder).rglob("*") if path.is_file()}
    return flat(trainer.model), history, files - {"resume", "runs", "README.md", "tokens.jsonl"}


def flat(model):
    return torch.cat([value.detach().flatten() for value in model.parameters()])


def assert_same(ours, theirs, tolerance=1e-3):
    """The same weights, as far as they have moved; the same logged steps and rewards; the same files."""
    moved = (theirs[0] - flat(tiny_model())).norm()
    assert moved > 1e-3
    assert (ours[0] - theirs[0]).norm() <= tolerance * moved
    assert [step for step, _ in ours[1]] == [step for step, _ in theirs[1]]
    for (_, one), (_, other) in zip(ours[1], theirs[1], strict=True):
        assert {key: one.get(key) for key in other} == pytest.approx(other, rel=1e-4, abs=1e-6)
    assert ours[2] == theirs[2]


@pytest.fixture(scope="module")
def usual(base, tmp_path_factory):
    """TRL's trainer with every option as `tests.trl.trainers.settings` has it."""
    return outcome(host_trainer, tmp_path_factory.mktemp("usual"), base, {})


@pytest.mark.parametrize("name", RUNS)
def test_a_run_with_other_values_is_trls(tmp_path, base, usual, name):
    theirs = outcome(host_trainer, tmp_path / "host", base, dict(RUNS[name]))
    # Noise is drawn for the rows that go through the model, and the fast update has fewer of them.
    update = {"update": "stock"} if name == "noise on embeddings" else {}
    assert_same(outcome(abc_trainer, tmp_path / "ours", base, RUNS[name] | update), theirs)
    if name not in NO_DIFFERENCE:  # the values matter at all
        assert not (torch.equal(usual[0], theirs[0]) and usual[1:] == theirs[1:])


NO_DIFFERENCE = {"batches by their sum", "cache", "model"}
"""The first says what is the default by another name; the others save time and memory, or change what is not there."""


def test_what_has_no_effect_has_none(tmp_path, base, usual):
    """All of these fields at once, in TRL's trainer and in ours: the usual weights, log and files."""
    options = {name: value for name, (value, _) in NO_EFFECT.items()}
    for make in (host_trainer, abc_trainer):
        weights, history, files = outcome(make, tmp_path / make.__name__, base, options)
        assert (weights - usual[0]).norm() <= 1e-5 * usual[0].norm()
        assert [step for step, _ in history] == [step for step, _ in usual[1]]
        assert files == usual[2]


def test_a_model_by_name_takes_its_arguments(tmp_path, base):
    options = {"model_init_kwargs": {"attn_implementation": "eager"}, "trust_remote_code": True}
    trainer = abc_trainer(tmp_path, model=base, max_steps=1, **options)
    trainer.train()
    assert trainer.model.config._attn_implementation == "eager"


def test_bfloat16_is_autocast_as_in_trl(tmp_path, base, usual):
    theirs = outcome(host_trainer, tmp_path / "host", base, {"bf16": True, "max_steps": 1})
    ours = outcome(abc_trainer, tmp_path / "ours", base, {"bf16": True, "max_steps": 1})
    assert_same(ours, theirs, tolerance=0.05)
    assert not torch.equal(usual[0], theirs[0])


def test_data_that_would_begin_anew_is_refused(tmp_path, base):
    options = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    abc_trainer(tmp_path, model=base, **options).train()
    with pytest.raises(ValueError, match="ignore_data_skip would restart the data"):
        abc_trainer(tmp_path, model=base, ignore_data_skip=True, **options).train(resume_from_checkpoint=True)


def trained(kind, folder, base, data=None, reward=digits, processing_class=None, options=None, **arguments):
    """Weights after two steps of a trainer that takes these arguments."""
    ours = kind is ABCGRPOTrainer
    config = ABCGRPOConfig if ours else GRPOConfig
    options = (GRPO | {"generation": "stock"} if ours else {}) | (options or {})
    trainer = kind(
        model=base,
        reward_funcs=reward,
        args=config(**settings(folder, max_steps=2, **options)),
        train_dataset=data or Dataset.from_dict({"prompt": [f"{n},{n + 1}:{n + 2}>" for n in range(1, 65)]}),
        processing_class=processing_class or character_tokenizer(BASE.characters),
        **arguments,
    )
    trainer.train()
    return flat(trainer.model)


def close(ours, theirs):
    moved = (theirs - flat(tiny_model())).norm()
    return moved > 1e-3 and (ours - theirs).norm() <= 1e-3 * moved


def test_arguments_of_the_chat_template_reach_the_prompt(tmp_path, base):
    tokenizer = character_tokenizer(BASE.characters)
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}{{ tail }}"
    messages = [[{"role": "user", "content": f"{n},{n + 1}:{n + 2}"}] for n in range(1, 65)]
    given = {"data": Dataset.from_dict({"prompt": messages}), "processing_class": tokenizer, "reward": by_length}
    templates = {"equals": {"tail": "=="}, "nothing": {"tail": ""}}
    found = {
        (kind, name): trained(
            kind, tmp_path / kind.__name__ / name, base, options={"chat_template_kwargs": template}, **given
        )
        for kind in (GRPOTrainer, ABCGRPOTrainer)
        for name, template in templates.items()
    }
    for name in templates:
        assert close(found[ABCGRPOTrainer, name], found[GRPOTrainer, name])
    assert not close(found[ABCGRPOTrainer, "equals"], found[GRPOTrainer, "nothing"])


def by_length(completions, **_):
    """A reward that reads messages."""
    return [float(sum(character.isdigit() for character in each[0]["content"])) for each in completions]


def test_a_reward_model_is_run_with_its_own_tokenizer(tmp_path, base):
    torch.manual_seed(0)
    config = tiny_model().config
    config.num_labels, config.pad_token_id = 1, 0
    config.id2label = {0: "score"}
    judge = Qwen3ForSequenceClassification(config)
    reader = character_tokenizer(BASE.characters)
    read = []
    reader_call = type(reader).__call__

    class Reader(type(reader)):
        def __call__(self, *arguments, **options):
            read.append(arguments or options)
            return reader_call(self, *arguments, **options)

    reader.__class__ = Reader
    options = {"reward": judge, "reward_processing_classes": reader}
    theirs = trained(GRPOTrainer, tmp_path / "host", base, **options)
    before = len(read)
    assert close(trained(ABCGRPOTrainer, tmp_path / "ours", base, **options), theirs)
    assert len(read) == 2 * before > 0


def test_callbacks_and_optimizers_of_ones_own(tmp_path, base):
    steps = []

    class Steps(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            steps.append(state.global_step)

    def arguments():
        model = tiny_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=1)
        return {"base": model, "callbacks": [Steps()], "optimizers": (optimizer, schedule)}

    theirs = trained(GRPOTrainer, tmp_path / "host", **arguments())
    assert close(trained(ABCGRPOTrainer, tmp_path / "ours", **arguments()), theirs)
    assert steps == [1, 2, 1, 2]
    assert not close(trained(ABCGRPOTrainer, tmp_path / "usual", base), theirs)


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


def test_a_rollout_of_ones_own(tmp_path, base):
    def rollout(prompts, trainer):
        written = [[3 + (index + at) % 15 for at in range(4)] for index in range(len(prompts))]
        ids = trainer.processing_class(prompts)["input_ids"]
        return {"prompt_ids": ids, "completion_ids": written, "logprobs": [[-1.0] * 4] * len(prompts)}

    theirs = trained(GRPOTrainer, tmp_path / "host", base, rollout_func=rollout)
    assert close(trained(ABCGRPOTrainer, tmp_path / "ours", base, rollout_func=rollout), theirs)
    assert not close(trained(ABCGRPOTrainer, tmp_path / "usual", base), theirs)
