"""How the shipped bases are made: `python -m abcgrpo.tasks.pretrain TASK --output DIRECTORY`.

A Qwen3 of 0.5 M parameters learns from solutions of training problems, and is stopped while it still gets most answers
wrong: a base that is right about a third of the time, and on most problems at least once in 64 answers, is what
reinforcement learning can work with. Minutes on two CPU cores.
"""

import argparse
import itertools
from importlib import import_module
from pathlib import Path

import torch
from rich.progress import Progress
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

from abcgrpo.errors import unknown_name
from abcgrpo.tasks.generated import Base
from abcgrpo.tasks.tokenizer import character_tokenizer

BATCH_SIZE = 128
LEARNING_RATE = 2e-3
WARMUP_STEPS = 50
SEED = 0


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


def pretrain(base: Base, output: Path, steps: int, seed: int = SEED) -> None:
    """Train a base model on solved problems of the training split and save it with its tokenizer to `output`."""
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)  # AdamW's moments reach denormal numbers, which are slow on a CPU
    tokenizer = character_tokenizer(base.characters)
    model = Qwen3ForCausalLM(base_config(len(tokenizer), base.longest))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARMUP_STEPS) * max(0.05, 1 - step / steps)
    )
    problems = base.generate(seed, "train")
    with Progress() as progress:
        task = progress.add_task("pretraining", total=steps)
        for _ in range(steps):
            batch = list(itertools.islice(problems, BATCH_SIZE))
            loss = _cross_entropy(model, tokenizer, batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            progress.update(task, advance=1, description=f"pretraining, loss {loss.item():.3f}")
    model.generation_config = GenerationConfig(do_sample=True, temperature=1.0, eos_token_id=1, pad_token_id=0)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


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


def base_of(task: str) -> Base:
    """How the base of a task is made.

    Raises:
        UserError: a task without a base.
    """
    packages = {path.parent.name.replace("_", "-"): path.parent.name for path in Path(__file__).parent.glob("*/*.py")}
    if task not in packages:
        raise unknown_name("task with a base", task, packages, "pretrain")
    return import_module(f"abcgrpo.tasks.{packages[task]}").BASE


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="a task with a base, such as maze")
    parser.add_argument("--output", type=Path, required=True, help="directory to write model and tokenizer to")
    parser.add_argument("--steps", type=int, help="optimizer steps (default: the shipped base's)")
    arguments = parser.parse_args()
    chosen = base_of(arguments.task)
    pretrain(chosen, arguments.output, arguments.steps or chosen.steps)
