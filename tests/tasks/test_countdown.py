import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abcgrpo.errors import UserError
from abcgrpo.tasks import get_task, resolve_model
from abcgrpo.tasks.countdown import BASE_MODEL, TASK, Problem, generate, verify
from abcgrpo.tasks.countdown.problems import LARGEST_NUMBER, LARGEST_RESULT, NUMBERS_PER_PROBLEM
from abcgrpo.tasks.generated import distinct_rows

RIGHT = [
    ([15, 9, 6], 12, "15-9=6,6+6=12"),
    ([9, 15, 6], 12, " 15-9=6,6+6=12\n"),
    ([2, 3, 4], 24, "3*2=6,4*6=24"),
    ([2, 3, 4, 5], 14, "2+3=5,4+5=9,5+9=14"),
]
WRONG = {
    "another target": ([15, 9, 6], 13, "15-9=6,6+6=12"),
    "a number twice": ([15, 9, 6], 12, "6+6=12,12*1=12"),
    "a number left over": ([15, 9, 6], 6, "15-9=6"),
    "wrong arithmetic": ([15, 9, 6], 12, "15-9=5,5+6=12"),
    "a number that is not there": ([15, 9, 6], 12, "15-9=6,6+7=13"),
    "one step too many": ([15, 9, 6], 12, "15-9=6,6+6=12,12+0=12"),
    "nothing": ([15, 9, 6], 12, ""),
    "division": ([12, 3, 1], 4, "12/3=4,4*1=4"),
    "a space inside": ([15, 9, 6], 12, "15-9=6, 6+6=12"),
    "negative": ([3, 5, 2], 0, "3-5=-2,-2+2=0"),
    "other digits": ([15, 9, 6], 12, "15-9=6,6+6=١٢"),
    "code": ([15, 9, 6], 12, "__import__('os').system('true')"),
}


@pytest.mark.parametrize(("numbers", "target", "answer"), RIGHT)
def test_a_right_answer(numbers, target, answer):
    assert verify(answer, numbers, target)


@pytest.mark.parametrize(("numbers", "target", "answer"), WRONG.values(), ids=WRONG)
def test_a_wrong_answer(numbers, target, answer):
    assert not verify(answer, numbers, target)


@given(st.text() | st.from_regex(r"([0-9]+[-+*][0-9]+=[0-9]+,?)*", fullmatch=True))
def test_no_text_upsets_the_verifier(text):
    assert verify(text, [1, 2, 3], 6) in (True, False)


def test_a_megabyte_is_read_at_once():
    assert not verify("1+" * 500_000, [1, 2, 3], 6)
    assert not verify("9" * 1_000_000 + "+1=2,2+3=5", [1, 2, 3], 6)


@given(st.integers(0, 2**32))
def test_every_generated_solution_is_right(seed):
    problem, solution = next(generate(seed, "train"))
    assert verify(solution, problem.numbers, problem.target)
    assert len(problem.numbers) in NUMBERS_PER_PROBLEM
    assert all(1 <= number <= LARGEST_NUMBER for number in problem.numbers)
    assert 0 <= problem.target <= LARGEST_RESULT


def test_the_same_seed_gives_the_same_problems():
    first = list(itertools.islice(generate(7, "train"), 2))
    assert first == list(itertools.islice(generate(7, "train"), 2))
    assert first != list(itertools.islice(generate(8, "train"), 2))
    assert first[0][0].prompt == f"{','.join(map(str, first[0][0].numbers))}:{first[0][0].target}>"


def test_training_and_test_share_no_problem_in_any_order():
    train, test = (
        {(tuple(sorted(r["numbers"])), r["target"]) for r in distinct_rows(generate, s, 2000, 0)}
        for s in ("train", "test")
    )
    assert not train & test


def test_the_split_does_not_see_the_order_of_the_numbers():
    assert Problem((1, 2, 3), 6).split == Problem((3, 1, 2), 6).split


def test_rows_differ_from_one_another():
    questions = distinct_rows(generate, "test", 500, 0)
    assert len({row["id"] for row in questions}) == 500


def test_reward_in_the_signature_of_trl():
    completions = ["15-9=6,6+6=12", [{"role": "assistant", "content": "15-9=6,6+6=12"}], "12"]
    columns = {"numbers": [[15, 9, 6]] * 3, "target": [12] * 3, "prompts": [""] * 3}
    assert TASK.reward(completions=completions, **columns) == [1.0, 1.0, 0.0]


def test_the_base_has_the_architecture_of_qwen3_and_reads_every_prompt():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(BASE_MODEL)
    tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL)
    assert type(model).__name__ == "Qwen3ForCausalLM"
    for problem, solution in itertools.islice(generate(0, "test"), 50):
        ids = tokenizer.encode(problem.prompt + solution)
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == problem.prompt + solution
        assert len(ids) == len(problem.prompt + solution)


def test_names_that_nothing_has():
    with pytest.raises(UserError, match="Did you mean 'countdown'"):
        get_task("countdwon")
    assert resolve_model("countdown-base") == str(BASE_MODEL)
    assert resolve_model("Qwen/Qwen3-1.7B-Base") == "Qwen/Qwen3-1.7B-Base"
    for missing in ("./nowhere", "/nowhere/at/all"):
        with pytest.raises(UserError, match="no such directory"):
            resolve_model(missing)


def test_a_directory_that_is_no_model(tmp_path):
    with pytest.raises(UserError, match=r"config\.json"):
        resolve_model(str(tmp_path))
