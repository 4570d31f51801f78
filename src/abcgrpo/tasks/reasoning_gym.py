"""The data sets of reasoning-gym as tasks: `reasoning-gym/NAME`, with the configuration that the data set has.

```yaml
task: {name: reasoning-gym/chain_sum, min_terms: 2, max_terms: 3}
task: {name: reasoning-gym/spell_backward, curriculum: {word_len: 2}}
task: {name: reasoning-gym/composite, datasets: [{name: gcd, weight: 1, config: {}}, …]}
```

Problems are made, and answers scored, in worker processes with limits on time and memory, since some scorers evaluate
what the model wrote; a hostile answer costs its row only. An answer is right from a score of 1 on. A problem belongs to
training or to what is held out by a hash of its text, whatever the seed.
"""

import hashlib
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import cache, lru_cache
from typing import Any

from abcgrpo.errors import UserError, unknown_name
from abcgrpo.extras import require_extras
from abcgrpo.grading.pool import WorkerPool
from abcgrpo.grading.verdict import Verdict
from abcgrpo.tasks.generated import (
    BENCHMARK_QUESTIONS,
    BENCHMARK_SEED,
    TRAINING_PROBLEMS,
    Base,
    Split,
)
from abcgrpo.tasks.prompts import PromptTemplate
from abcgrpo.tasks.sources import CLUSTER
from abcgrpo.tasks.task import Row, SamplingDefaults, Task, TrainingData

TEMPLATE = PromptTemplate("{problem}\n\nThink step by step. Then give the final answer alone as <answer>…</answer>.")
CPU_SECONDS = 10.0
_PORTION = 512
"""How many problems a data set is made with: some make all of them at once, when they are made themselves."""
_EXAMPLES = ("possible_answer", "example_answer", "example_correct_answer")
"""Where the metadata of graph_color, propositional_logic and rubiks_cube hold an answer that is right."""
UNUSABLE = {"game_of_life_halting": "its scorer calls every answer right, since it compares `bool(…)` of two texts"}
"""Data sets that are not offered, and why."""
_OURS = ("curriculum", "graded_reward", "whole_text")


@dataclass(frozen=True)
class Problem:
    """A problem of a data set; with an `answer`, what it is to be scored by."""

    name: str
    config: str
    """JSON: the configuration, with `seed` and, where one is used, `curriculum`."""
    index: int
    answer: str | None = None


def task(name: str, spec: str = "", where: str = "task", **parameters: Any) -> Task:
    """The task of a data set.

    Args:
        name: the data set's.
        spec: what the user wrote.
        where: where, for errors.
        **parameters: the data set's configuration; and `curriculum`, attribute → level; `graded_reward`, to reward with
            the score instead of 1 for right and 0 for wrong; `whole_text`, to score all of an answer instead of what
            stands in its last `<answer>…</answer>`.

    Raises:
        UserError: an unknown data set or parameter (the nearest known one is suggested), or a value that does not fit.
    """
    require_extras("reasoning-gym", "reasoning-gym")
    from reasoning_gym.factory import DATASETS

    if name in UNUSABLE:
        raise UserError(f"{where}: reasoning-gym/{name} cannot be used: {UNUSABLE[name]}.")
    if name not in DATASETS:
        raise unknown_name("data set of reasoning-gym", name, DATASETS, where)
    known = [item.name for item in fields(DATASETS[name][1]) if item.name not in ("seed", "size")]
    for parameter in parameters:
        if parameter not in (*known, *_OURS):
            raise unknown_name(f"parameter of {name}", parameter, [*known, *_OURS], where)
    ours = {key: parameters.pop(key, None) for key in _OURS}
    if ours["curriculum"]:
        parameters["curriculum"] = ours["curriculum"]
    try:
        _dataset(name, json.dumps(parameters | {"seed": 0}), 0)
    except Exception as error:  # each data set checks its configuration in its own way
        raise UserError(f"{where}: reasoning-gym/{name}: {type(error).__name__}: {error}") from error

    def rows(split: Split, count: int, seed: int) -> list[Row]:
        return _rows(name, parameters, split, count, seed)

    def training_rows(data: TrainingData) -> list[Row]:
        data.refuse_data_set(f"reasoning-gym/{name}")
        return rows("train", data.count or TRAINING_PROBLEMS, data.seed)

    def grade(texts: list[str], some_rows: list[Row]) -> list[Verdict]:
        answers = [text.strip() if ours["whole_text"] else extract(text) for text in texts]
        work = [
            Problem(**json.loads(row["source"]), answer=answer)
            for answer, row in zip(answers, some_rows, strict=True)
            if answer
        ]
        outcomes = iter(_pool().run(work))
        return [_verdict(answer, next(outcomes) if answer else 0.0, bool(ours["graded_reward"])) for answer in answers]

    return Task(
        name=f"reasoning-gym-{name}",
        template=TEMPLATE,
        training_rows=training_rows,
        grade=grade,
        held_out_rows=lambda count: rows("test", count or BENCHMARK_QUESTIONS, BENCHMARK_SEED),
        sampling=SamplingDefaults(max_new_tokens=2048),
        graded_by=("source",),
        spec=spec or f"reasoning-gym/{name}",
    )


@dataclass(frozen=True)
class Shown:
    """A problem as a base reads it: without the instruction that a large model is given."""

    prompt: str
    columns: Row
    """What an answer is graded by."""


def base(name: str, **parameters: Any) -> Base:
    """How a base of your own is made for a data set: from its questions as they are, and golds as solutions.

    Args:
        name: the data set's.
        **parameters: as of `task`.

    Raises:
        UserError: see `task`; also a data set without golds.
    """
    task(name, **parameters)
    whole = parameters.get("whole_text", False)
    configuration = {key: value for key, value in parameters.items() if key not in ("graded_reward", "whole_text")}

    def generate(seed: int, split: Split) -> Iterator[tuple[Shown, str]]:
        config = json.dumps(configuration | {"seed": seed}, sort_keys=True)
        for index, made in _made(name, config, _PORTION, 2**40):
            if not isinstance(made, dict) or made["answer"] is None:
                raise UserError(
                    f"reasoning-gym/{name} gives no right answer to problem {index} that a base could learn."
                )
            if split_of(made["question"]) == split:
                source = json.dumps({"name": name, "config": config, "index": index})
                solution = made["answer"] if whole else f"<answer>{made['answer']}</answer>"
                yield Shown(made["question"], {"source": source}), solution

    seen = [
        (len(each.prompt), each.prompt + text) for each, text in itertools.islice(generate(0, "train"), 2 * _PORTION)
    ]
    longest = max(prompt for prompt, _ in seen) + 2 * max(len(text) - prompt for prompt, text in seen)
    return Base(generate, "".join(sorted(set("".join(text for _, text in seen)))), steps=1000, longest=longest)


def extract(text: str) -> str | None:
    """What stands in the last `<answer>…</answer>`; None if there is none."""
    _, opened, rest = text.rpartition("<answer>")
    answer, closed, _ = rest.partition("</answer>")
    return answer.strip() if opened and closed else None


def names() -> list[str]:
    """The data sets that are offered, composites of them included."""
    from reasoning_gym.factory import DATASETS

    return sorted(DATASETS.keys() - UNUSABLE)


def split_of(question: str) -> Split:
    """The split that a question belongs to: one in eight is for tests.

    By SHA-256, since a CRC can give all questions of a data set to one split where they differ in few digits.
    """
    return "test" if hashlib.sha256(question.encode()).digest()[0] % 8 == 0 else "train"


def _rows(name: str, parameters: dict[str, Any], split: Split, count: int, seed: int) -> list[Row]:
    """`count` different problems of a split; those of a composite are clustered by the part that made them.

    Raises:
        UserError: the data set has too few, or problems cannot be made within the limits.
    """
    config = json.dumps(parameters | {"seed": seed}, sort_keys=True)
    found: dict[str, Row] = {}
    for index, made in _made(name, config, count, 64 * count + 1024):
        if not isinstance(made, dict):
            raise UserError(f"reasoning-gym/{name} cannot make problem {index} of seed {seed} ({made}).")
        if split_of(made["question"]) == split and made["question"] not in found:
            source = json.dumps({"name": name, "config": config, "index": index})
            row = {"problem": made["question"], "answer": made["answer"], "source": source}
            template = {} if made["template"] is None else {CLUSTER: made["template"]}
            found[made["question"]] = {"id": f"{name}/{index}"} | row | template
            if len(found) == count:
                return list(found.values())
    raise UserError(
        f"reasoning-gym/{name} has {len(found)} different problems to {'train on' if split == 'train' else 'test'} "
        f"with this configuration, not {count}: ask for fewer, or for a wider one."
    )


def _made(name: str, config: str, count: int, most: int) -> Iterator[tuple[int, Any]]:
    """Problems by their index, made in portions."""
    portion = min(max(count, 16), 512)
    for start in range(0, most, portion):
        indices = range(start, start + portion)
        yield from zip(indices, _pool().run([Problem(name, config, index) for index in indices]), strict=True)


def _verdict(answer: str | None, outcome: Any, graded: bool) -> Verdict:
    if not answer:
        return Verdict(False, None, "no_answer", 0.0 if graded else None)
    if not isinstance(outcome, int | float):
        return Verdict(False, answer, "timeout" if outcome == "timeout" else "killed", 0.0 if graded else None)
    right = outcome >= 1.0
    return Verdict(right, answer, "exact" if right else "different", float(outcome) if graded else None)


@cache
def _pool() -> WorkerPool:
    return WorkerPool(cpu_seconds=CPU_SECONDS, service="abcgrpo.tasks.reasoning_gym")


# What the workers call.


def warm_up() -> None:
    """Import the data sets."""
    import reasoning_gym  # noqa: F401


def perform(work: dict[str, Any]) -> Any:
    """A problem (question, answer, and the template: the part of a composite that made it), or the score of an answer.

    An answer that a scorer fails on scores 0.
    """
    dataset = _dataset(work["name"], work["config"], work["index"] // _PORTION)
    entry = _entry(work["name"], work["config"], work["index"])
    if work["answer"] is None:
        template = entry.get("metadata", {}).get("source_dataset") if work["name"] == "composite" else None
        return {"question": entry["question"], "answer": _gold(entry), "template": template}
    try:
        return float(dataset.score_answer(work["answer"], entry))
    except MemoryError:
        raise
    except Exception:  # a scorer that fails on a text has not found it right
        return 0.0


def _gold(entry: dict[str, Any]) -> str | None:
    """An answer that is right: the entry's; where it has none, since many are right, the example in its metadata."""
    found, metadata = entry["answer"], entry["metadata"]
    if found is None:
        found = next((metadata[name] for name in _EXAMPLES if name in metadata), None)
    if isinstance(found, dict):
        return json.dumps(found)
    return None if found is None else str(found)


@lru_cache(maxsize=64)
def _entry(name: str, config: str, index: int) -> dict[str, Any]:
    portion, at = divmod(index, _PORTION)
    dataset = _dataset(name, config, portion)
    random.seed(index)  # what a generator leaves to Python's own randomness is the same each time too
    return dataset[at]


@lru_cache(maxsize=8)
def _dataset(name: str, config: str, portion: int) -> Any:
    """A portion of what a seed stands for. Seeds lie apart, since most data sets add the index to theirs."""
    from reasoning_gym.composite import DatasetSpec
    from reasoning_gym.factory import create_curriculum, create_dataset

    parameters = json.loads(config)
    levels = parameters.pop("curriculum", {})
    if "datasets" in parameters:
        parameters["datasets"] = [DatasetSpec(**each) for each in parameters["datasets"]]
    if levels:
        curriculum = create_curriculum(name)
        for attribute, level in levels.items():
            curriculum.set_attr_level(attribute, level)
        parameters = asdict(curriculum.generate_configuration(parameters))
    seed = (parameters["seed"] * 2_654_435_761 + portion * _PORTION) % 2**32
    return create_dataset(name, **parameters | {"seed": seed, "size": _PORTION})
