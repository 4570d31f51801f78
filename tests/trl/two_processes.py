"""ABCGRPOTrainer on countdown with answers made beforehand: on one process by a call, on two by torchrun.

The answers belong to the problem, not to the process, so that one process and two see the same rows in each optimizer
step. Steps 1 and 2 share a rollout (the ratio of step 2 is not 1); in the rollout of step 3 all answers to the second
half of the problems are wrong: the rows of the second process have no signal.
"""

import os
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.distributed.tensor import DTensor
from transformers import PrinterCallback

from abcgrpo.advantages import Estimator, Groups
from abcgrpo.tasks.countdown import BASE, BASE_MODEL, TASK, generate
from abcgrpo.tasks.tokenizer import character_tokenizer
from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer
from abcgrpo.trl.processes import leave_process_group

GROUP, PROBLEMS, STEPS = 4, 8, 3
"""Responses to one problem, problems of one rollout, optimizer steps."""
LOSS_TYPES = ("grpo", "dapo", "dr_grpo", "bnpo")


def build(host: type[ABCGRPOTrainer] = ABCGRPOTrainer, rewards: list[float] | None = None, **options: Any):
    """The trainer of three optimizer steps; `rewards` gets those that this process computes."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    answers = _answers()

    def reward(**columns) -> list[float | None]:
        scored = TASK.reward(**columns)
        if rewards is not None:
            rewards.extend(scored)
        return scored

    settings = {
        "output_dir": tempfile.mkdtemp(),
        "per_device_train_batch_size": GROUP * PROBLEMS // 2 // processes,
        "gradient_accumulation_steps": 2,
        "num_generations": GROUP,
        "num_iterations": 2,
        "max_completion_length": 48,
        "max_steps": STEPS,
        "learning_rate": 0.3,
        "optim": "sgd",
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.5,
        "shuffle_dataset": False,
        "scale_rewards": "none",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }
    trainer = host(
        str(BASE_MODEL),
        reward,
        ABCGRPOConfig(**(settings | options)),
        train_dataset=Dataset.from_list([row for row, _ in answers]),
        processing_class=character_tokenizer(BASE.characters),
        rollout_func=partial(_rollout, {row["prompt"]: texts for row, texts in answers}),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def train(**options: Any) -> dict[str, Any]:
    """Train for three optimizer steps; the weights before and after, what was logged, what this process saw."""
    rewards: list[float] = []
    trainer = build(rewards=rewards, **options)
    before = weights(trainer.model)
    trainer.train()
    return {
        "processes": trainer.accelerator.num_processes,
        "before": before,
        "after": weights(trainer.model),
        "logs": [entry for entry in trainer.state.log_history if "loss" in entry],
        "rewards": rewards,
    }


def _answers() -> list[tuple[dict[str, Any], list[str]]]:
    """Problems with four answers each: some right and some wrong, of the last four all wrong."""
    rows = []
    for index, (problem, solution) in zip(range(2 * PROBLEMS), generate(seed=7, split="train"), strict=False):
        row = {"prompt": problem.prompt, "numbers": list(problem.numbers), "target": problem.target}
        wrong = [solution + "0", solution.replace("=", "=1", 1), solution.split(",")[0]]
        texts = [solution, *wrong] if index % 3 else [solution, solution, *wrong[:2]]
        rows.append((row, texts if index < 2 * PROBLEMS - PROBLEMS // 2 else [*wrong, wrong[0]]))
    return rows


def _rollout(answers: dict[str, list[str]], prompts: list[str], trainer: Any) -> dict[str, Any]:
    """What TRL asks of generation. The responses to one problem come one after another."""
    tokenizer = trainer.processing_class
    first = trainer.accelerator.process_index * len(prompts)
    texts = [answers[prompt][(first + index) % GROUP] for index, prompt in enumerate(prompts)]
    return {
        "prompt_ids": tokenizer(prompts)["input_ids"],
        "completion_ids": [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in texts],
        "logprobs": None,
    }


def weights(model: Any) -> dict[str, torch.Tensor]:
    """Copies of the weights, by FSDP2 or DeepSpeed gathered where they are shared out."""
    named = {name.removeprefix("module."): weight for name, weight in model.named_parameters()}
    if any(hasattr(weight, "ds_id") for weight in named.values()):
        import deepspeed

        gathered = deepspeed.zero.GatheredParameters(list(named.values()))
    else:
        gathered = nullcontext()
    with gathered:
        return {
            name: (weight.full_tensor() if isinstance(weight, DTensor) else weight).detach().clone()
            for name, weight in named.items()
        }


def train_straddled(**options: Any) -> dict[str, Any]:
    """Groups of four of which each of two processes has two responses, with advantages per token."""
    rows = GROUP // int(os.environ.get("WORLD_SIZE", "1"))
    one_group = {"per_device_train_batch_size": rows, "gradient_accumulation_steps": 1, "scale_rewards": "group"}
    estimated = {"loss_type": "grpo", "advantages": FromTheFirst()}
    return train(**(one_group | estimated | options))


@dataclass(frozen=True)
class FromTheFirst(Estimator):
    """What the group's first response has not: of tokens, and of whole groups."""

    def __call__(self, groups: Groups) -> torch.Tensor:
        ids = groups.completion_ids.view(-1, groups.group_size, groups.completion_ids.size(1))
        other = (ids != ids[:, :1]).flatten(0, 1)
        return (other + 1.0) * (groups.rewards - groups.rewards.mean())[:, None]


def main(folder: Path) -> None:
    runs = {loss_type: train(loss_type=loss_type) for loss_type in LOSS_TYPES}
    runs["straddled"] = train_straddled()
    torch.save(runs, folder / f"{os.environ['RANK']}.pt")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
        torch.distributed.barrier()  # the other process may still need this one
    finally:
        leave_process_group()
