"""A tiny Qwen3 with random weights, trainers around it, and rollouts made by hand: no generation, no download."""

import torch
from datasets import Dataset
from transformers import Qwen3ForCausalLM
from trl import GRPOConfig, GRPOTrainer

from abcgrpo.tasks.countdown import BASE
from abcgrpo.tasks.tokenizer import character_tokenizer
from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer
from tests.trl.models import tiny_qwen3

ROWS, PROMPT, COMPLETION = 8, 5, 9


def tiny_model(seed: int = 0) -> Qwen3ForCausalLM:
    """Random weights, large enough that log-probs differ from token to token."""
    return tiny_qwen3(seed, vocab_size=20, initializer_range=0.3)


def settings(output_dir, **options):
    """Arguments that both trainers take: CPU, float32, plain SGD, nothing saved or reported."""
    defaults = {
        "output_dir": str(output_dir),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "per_device_train_batch_size": ROWS,
        "num_generations": 4,
        "max_completion_length": COMPLETION,
        "optim": "sgd",
        "learning_rate": 0.5,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "logging_steps": 1,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    return defaults | options


def digits(completions, **_):
    """A reward that varies within groups: the share of digits."""
    return [sum(c.isdigit() for c in completion) / max(len(completion), 1) for completion in completions]


def host_trainer(output_dir, model=None, **options) -> GRPOTrainer:
    """`trl.GRPOTrainer` as it is."""
    return trainer_of(GRPOTrainer, GRPOConfig, output_dir, model, options)


def abc_trainer(output_dir, model=None, **options) -> ABCGRPOTrainer:
    """Ours."""
    return trainer_of(ABCGRPOTrainer, ABCGRPOConfig, output_dir, model, options)


def trainer_of(trainer_class, config_class, output_dir, model, options):
    peft_config, evaluated = options.pop("peft_config", None), options.pop("eval_dataset", None)
    reward = options.pop("reward", digits)
    return trainer_class(
        model=model or tiny_model(),
        reward_funcs=reward,
        args=config_class(**settings(output_dir, **options)),
        train_dataset=Dataset.from_dict({"prompt": [f"{n},{n + 1}:{n + 2}>" for n in range(1, 65)]}),
        processing_class=character_tokenizer(BASE.characters),
        eval_dataset=evaluated,
        **({"peft_config": peft_config} if peft_config else {}),
    )


def rollout(trainer: GRPOTrainer, seed: int = 0, drift: float = 0.5) -> dict:
    """A micro-batch as the host's generation would hand it to the loss, its old log-probs some way off the policy's."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, COMPLETION + 1, (ROWS, 1), generator=generator)
    inputs = {
        "prompt_ids": torch.randint(3, 20, (ROWS, PROMPT), generator=generator),
        "prompt_mask": torch.ones(ROWS, PROMPT, dtype=torch.long),
        "completion_ids": torch.randint(3, 20, (ROWS, COMPLETION), generator=generator),
        "completion_mask": (torch.arange(COMPLETION) < lengths).long(),
        "advantages": torch.randn(ROWS, generator=generator),
    }
    inputs["num_items_in_batch"] = inputs["completion_mask"].sum()
    with torch.no_grad():
        logprobs, _, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model,
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1),
            torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1),
            COMPLETION,
        )
    noise = torch.randn(logprobs.shape, generator=generator)
    inputs["old_per_token_logps"] = logprobs + drift * noise
    inputs["ref_per_token_logps"] = logprobs + 0.3 * torch.randn(logprobs.shape, generator=generator)
    inputs["importance_sampling_ratio"] = (0.2 * noise).exp().clamp(max=2.0)
    return inputs


def loss_and_gradient(trainer: GRPOTrainer, inputs: dict, train: bool = True) -> tuple[float, torch.Tensor]:
    """Loss of a micro-batch, and its gradient in all parameters as one vector."""
    trainer.model.train(train)
    trainer.state.logging_steps = trainer.args.logging_steps
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    gradients = [p.grad.flatten() for p in trainer.model.parameters() if p.requires_grad and p.grad is not None]
    return loss.item(), torch.cat(gradients)
