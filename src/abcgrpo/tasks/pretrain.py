"""How the shipped bases are made: `python -m abcgrpo.tasks.pretrain TASK --output DIRECTORY`.

A Qwen3 of 0.5 M parameters learns from solutions of training problems, and is stopped while it still gets most answers
wrong: a base that is right up to a third of the time, and on most problems at least once in 64 answers, is what
reinforcement learning can work with. Every 25 steps it answers training problems of another seed, once each; at 30%
right it is done. `pretraining.json` beside the model has the figures. Minutes on two CPU cores.
"""

import argparse
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

from abcgrpo.errors import unknown_name
from abcgrpo.files import write_json
from abcgrpo.generation import fast_generation
from abcgrpo.tasks.generated import Base
from abcgrpo.tasks.registry import get_task, parts
from abcgrpo.tasks.task import Task
from abcgrpo.tasks.tokenizer import character_tokenizer

BATCH_SIZE = 128
LEARNING_RATE = 2e-3
WARMUP_STEPS = 50
SEED = 0

STOP_AT = 0.3
"""Share of answers right at which a base has learnt enough."""
STEPS_BETWEEN_MEASUREMENTS = 25
MEASURED_PROBLEMS = 256


def base_config(vocabulary_size: int, longest: int) -> Qwen3Config:
    """Qwen3's architecture at 0.5 M parameters."""
    return Qwen3Config(
        vocab_size=vocabulary_size,
        hidden_size=96,
        intermediate_size=288,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=24,
        max_position_embeddings=longest,
        tie_word_embeddings=True,
        bos_token_id=None,
        pad_token_id=0,
        eos_token_id=1,
    )


def pretrain(name: str, output: Path, steps: int | None = None, seed: int = SEED) -> None:
    """Train a base model on solved problems of the training split and save it with its tokenizer to `output`.

    Args:
        name: a task with a base.
        output: the directory.
        steps: maximum number of optimizer steps; None for the shipped base's.
        seed: of the weights and of the problems.

    Raises:
        UserError: a task without a base.
    """
    base, task = base_of(name), get_task(name)
    most = steps or base.steps
    torch.manual_seed(seed)
    tokenizer = character_tokenizer(base.characters)
    model = Qwen3ForCausalLM(base_config(len(tokenizer), base.longest))
    model.generation_config = GenerationConfig(do_sample=True, temperature=1.0, eos_token_id=1, pad_token_id=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARMUP_STEPS) * max(0.05, 1 - step / most)
    )
    problems = base.generate(seed, "train")
    others = [problem for problem, _ in itertools.islice(base.generate(seed + 1, "train"), MEASURED_PROBLEMS)]
    measured: list[dict[str, Any]] = []
    with Progress() as progress, _denormals_as_zero():
        bar = progress.add_task(f"pretraining for {name}", total=most)
        for step in range(1, most + 1):
            loss = _cross_entropy(model, tokenizer, list(itertools.islice(problems, BATCH_SIZE)))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            progress.advance(bar)
            if step % STEPS_BETWEEN_MEASUREMENTS == 0 or step == most:
                right = share_right(model, tokenizer, task, others)
                measured.append({"step": step, "loss": round(loss.item(), 4), "right": round(right, 4)})
                progress.print(f"step {step}: loss {loss.item():.3f}, {right:.1%} right")
                if right >= STOP_AT:
                    break
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    write_json(output / "pretraining.json", {"task": name, "seed": seed, "most_steps": most, "measured": measured})


@contextmanager
def _denormals_as_zero() -> Iterator[None]:
    """AdamW's moments reach denormal numbers, which are slow on a CPU. The switch is the whole process's."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def share_right(model: Any, tokenizer: Any, task: Task, problems: list[Any]) -> float:
    """The share of problems that an answer drawn at temperature 1 is right to; the randomness is the same each time."""
    prompts = tokenizer([problem.prompt for problem in problems], padding=True, return_tensors="pt")
    prompts.pop("token_type_ids", None)
    room = model.config.max_position_embeddings - prompts["input_ids"].shape[1]
    with torch.random.fork_rng(devices=[]), torch.no_grad(), fast_generation(model):
        torch.manual_seed(SEED)
        drawn = model.generate(**prompts, top_k=0, max_new_tokens=min(task.sampling.max_new_tokens, room))
    texts = tokenizer.batch_decode(drawn[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)
    verdicts = task.grade(texts, [problem.columns for problem in problems])
    return sum(bool(verdict.correct) for verdict in verdicts) / len(problems)


def _cross_entropy(model: Qwen3ForCausalLM, tokenizer, batch: list) -> torch.Tensor:
    """Mean cross-entropy of the solutions' tokens, `<eos>` included; prompts are not learnt."""
    prompts = [tokenizer.encode(problem.prompt) for problem, _ in batch]
    solutions = [[*tokenizer.encode(solution), tokenizer.eos_token_id] for _, solution in batch]
    width = max(len(p) + len(s) for p, s in zip(prompts, solutions, strict=True))
    ids = torch.full((len(batch), width), tokenizer.pad_token_id)
    labels = torch.full((len(batch), width), -100)
    for row, (prompt, solution) in enumerate(zip(prompts, solutions, strict=True)):
        end = len(prompt) + len(solution)
        ids[row, :end] = torch.tensor(prompt + solution)
        labels[row, len(prompt) : end] = torch.tensor(solution)
    logits = model(input_ids=ids).logits  # right-padded: causal attention never looks at the padding
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


def base_of(given: str) -> Base:
    """How the base of a task is made: of one that travels with this package, or of a data set of reasoning-gym.

    Raises:
        UserError: a task without a base.
    """
    name, parameters = parts(given, "pretrain")
    if name.startswith("reasoning-gym/"):
        from abcgrpo.tasks import reasoning_gym

        return reasoning_gym.base(name.partition("/")[2], **parameters)
    packages = {path.parent.name.replace("_", "-"): path.parent.name for path in Path(__file__).parent.glob("*/*.py")}
    if name not in packages or parameters:
        raise unknown_name("task with a base", given, packages, "pretrain")
    return import_module(f"abcgrpo.tasks.{packages[name]}").BASE


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="a task with a base, such as maze, or reasoning-gym/NAME")
    parser.add_argument("--output", type=Path, required=True, help="directory to write model and tokenizer to")
    parser.add_argument("--steps", type=int, help="maximum number of optimizer steps (default: the shipped base's)")
    arguments = parser.parse_args()
    pretrain(arguments.task, arguments.output, arguments.steps)
