"""What holds for every task that generates its problems, and what is particular to each."""

import itertools
from importlib import import_module

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from abcgrpo.errors import UserError
from abcgrpo.files import read_json
from abcgrpo.tasks import BASES, TrainingData, get_task
from abcgrpo.tasks.base_conversion import digits
from abcgrpo.tasks.base_conversion import verify as verify_number
from abcgrpo.tasks.generated import distinct_rows
from abcgrpo.tasks.maze import verify as verify_moves
from abcgrpo.tasks.pretrain import STOP_AT, base_config, base_of, pretrain, share_right
from abcgrpo.tasks.tokenizer import character_tokenizer

GENERATED = ["countdown", "base-conversion", "maze"]
ARCHITECTURE = (
    "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "head_dim", "max_position_embeddings", "tie_word_embeddings", "eos_token_id", "pad_token_id",
)  # fmt: skip


@pytest.mark.parametrize("name", GENERATED)
@given(seed=st.integers(0, 2**32))
def test_every_generated_solution_is_right_and_no_empty_one(name, seed):
    task = get_task(name)
    problem, solution = next(base_of(name).generate(seed, "train"))
    right, wrong = task.grade([solution, ""], [problem.columns] * 2)
    assert (right.correct, wrong.correct, wrong.reason) == (True, False, "no_answer")


@pytest.mark.parametrize("name", GENERATED)
@given(text=st.text())
def test_no_text_upsets_a_verifier(name, text):
    task = get_task(name)
    (row, *_) = task.held_out_rows(1)
    assert task.grade([text], [row])[0].correct in (True, False)


@pytest.mark.parametrize("name", GENERATED)
def test_the_same_seed_gives_the_same_rows_and_training_shares_none_with_the_test(name):
    task = get_task(name)
    rows = task.training_rows(TrainingData(500, 5))
    assert rows == task.training_rows(TrainingData(500, 5)) != task.training_rows(TrainingData(500, 6))
    assert len({row["id"] for row in rows}) == 500
    held_out = task.held_out_rows(None)
    assert len(held_out) == 128
    assert held_out[:5] == task.held_out_rows(5)
    assert not {row["id"] for row in distinct_rows(base_of(name).generate, "train", 5000, 0)} & {
        row["id"] for row in held_out
    }


@pytest.mark.parametrize("name", GENERATED)
def test_more_problems_than_there_are_are_refused_with_their_number(name, monkeypatch):
    monkeypatch.setattr("abcgrpo.tasks.generated.WINDOW", 500)
    monkeypatch.setattr("abcgrpo.tasks.generated.FEWEST_NEW", 0.96)  # where a few in a hundred have come before
    with pytest.raises(UserError, match=rf"num_problems=10000000, task {name}: .*Ask for at most [0-9,]+") as refused:
        get_task(name).training_rows(TrainingData(10**7, 0))
    most = int(str(refused.value).rstrip(".").rpartition(" ")[2].replace(",", ""))
    assert len(get_task(name).training_rows(TrainingData(most, 0))) == most


@pytest.mark.parametrize("name", GENERATED)
def test_a_base_reads_its_problems_and_has_room_for_its_answers(name):
    base, task = base_of(name), get_task(name)
    tokenizer = character_tokenizer(base.characters)
    longest = 0
    for problem, solution in itertools.islice(base.generate(0, "test"), 300):
        ids = tokenizer.encode(problem.prompt + solution)
        assert tokenizer.decode(ids) == problem.prompt + solution
        assert len(solution) < task.sampling.max_new_tokens
        longest = max(longest, len(problem.prompt))
    assert longest + task.sampling.max_new_tokens <= base.longest


@pytest.mark.parametrize("name", GENERATED)
def test_the_shipped_bases_are_what_the_script_makes(name):
    base, directory = base_of(name), BASES[f"{name}-base"]
    model = AutoModelForCausalLM.from_pretrained(directory)
    expected = base_config(len(character_tokenizer(base.characters)), base.longest)
    assert {key: getattr(model.config, key) for key in ARCHITECTURE} == {
        key: getattr(expected, key) for key in ARCHITECTURE
    }
    assert AutoTokenizer.from_pretrained(directory).get_vocab() == character_tokenizer(base.characters).get_vocab()
    if name != "countdown":  # made before the script kept its figures
        kept = read_json(directory / "pretraining.json")
        assert (kept["task"], kept["seed"], kept["most_steps"]) == (name, 0, base.steps)
        *before, last = [each["right"] for each in kept["measured"]]
        assert max(before) < STOP_AT <= last


def test_the_script_makes_a_base(tmp_path):
    pretrain("maze", tmp_path, steps=1)
    assert torch.tensor(1e-40).mul(1.0) > 0  # the process has its denormal numbers back
    (measured,) = read_json(tmp_path / "pretraining.json")["measured"]
    assert measured["step"] == 1
    assert measured["loss"] == pytest.approx(2.5, abs=0.3)  # of 12 tokens, all alike: log 12 = 2.48
    assert measured["right"] < 0.05  # a move or two by chance
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert model.generation_config.temperature == 1.0
    problems = [problem for problem, _ in itertools.islice(base_of("maze").generate(1, "train"), 64)]
    shipped = AutoModelForCausalLM.from_pretrained(BASES["maze-base"])
    assert share_right(shipped, tokenizer, get_task("maze"), problems) > 0.15
    assert share_right(shipped, tokenizer, get_task("maze"), problems[:8]) in [eighth / 8 for eighth in range(9)]


def test_a_base_that_is_not_there():
    with pytest.raises(UserError, match="Did you mean 'maze'"):
        base_of("mase")


@given(st.integers(0, 10**6), st.integers(2, 10))
def test_digits_mean_the_number(value, base):
    assert int(digits(value, base), base) == value


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("39,7r4,1r2,0r1:124", True), (":124", True), ("what you like:124\n", True), ("124", False),
        (":0124", False), (":124:", False), ("124:", False), (":12", False), (": 124", False),
    ],
)  # fmt: skip
def test_the_number_after_the_last_colon_counts(text, right):
    assert verify_number(text, "124") is right


MAZE = "S.#/#../#.G"
MOVES = {
    "a way": ("RDRD", True), "another": ("RDDR", True), "a detour": ("RLRDRD", True), "white space": (" RDRD\n", True),
    "through a wall": ("DDRR", False), "off the grid": ("LRRDRD", False), "short of it": ("RDR", False),
    "past it": ("RDRDU", False), "too many steps": ("RLRLRDRD", False), "no move": ("RDXRD", False), "": ("", False),
}  # fmt: skip


@pytest.mark.parametrize(("moves", "right"), MOVES.values(), ids=MOVES)
def test_moves_are_walked(moves, right):
    assert verify_moves(moves, MAZE) is right


def test_every_task_folder_has_what_a_base_is_made_of():
    for name in GENERATED:
        module = import_module(f"abcgrpo.tasks.{name.replace('-', '_')}")
        assert module.TASK is get_task(name)
        assert module.BASE is base_of(name)
