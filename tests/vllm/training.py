"""Train the padded base with a colocated vLLM, then compare the sampler with the model: run by tests, a process each.

    python -m tests.vllm.training MODEL OUTPUT '{"trainer": "ours", "max_steps": 12}'

OUTPUT/result.json gets the logs, and how many greedy answers of the sampler are those of the trained model and of the
base.
"""

import hashlib
import json
import sys
from functools import partial
from pathlib import Path

import torch
import trl.generation.vllm_generation as generation
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer
from vllm import SamplingParams

from abcgrpo import Boundaries
from abcgrpo.tasks.countdown import TASK, generate
from abcgrpo.tasks.generated import distinct_rows
from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer
from tests.vllm.cpu import send_weights_by_file

TRAINERS = {"ours": (ABCGRPOTrainer, ABCGRPOConfig), "trl": (GRPOTrainer, GRPOConfig)}
MODES = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")
QUESTIONS = 256


def greedy_of_model(model, tokenizer, prompts: list[list[int]]) -> list[list[int]]:
    """Answers of transformers, each up to its end."""
    padded = tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
    with torch.inference_mode():
        found = model.eval().generate(**padded, max_new_tokens=48, do_sample=False)
    end = tokenizer.eos_token_id
    answers = found[:, padded["input_ids"].shape[1] :].tolist()
    return [answer[: answer.index(end) + 1] if end in answer else answer for answer in answers]


def greedy_of_sampler(trainer: GRPOTrainer, prompts: list[list[int]]) -> list[list[int]]:
    """Answers of the vLLM that the trainer samples from."""
    if trainer.vllm_mode == "server":
        answered = trainer.vllm_generation.vllm_client.generate(prompts, temperature=0.0, max_tokens=48, n=1)
        return answered["completion_ids"]
    given = [{"prompt_token_ids": prompt} for prompt in prompts]
    greedy = SamplingParams(temperature=0, max_tokens=48)
    return [
        list(each.outputs[0].token_ids) for each in trainer.vllm_generation.llm.generate(given, greedy, use_tqdm=False)
    ]


def main(model_path: str, output: Path, options: dict) -> None:
    trainer_class, config_class = TRAINERS[options.pop("trainer", "ours")]
    synchronized = options.pop("synchronized", True)
    resume, compared = options.pop("resume", None), options.pop("compare_losses", False)
    generation.LLM = partial(generation.LLM, enforce_eager=True)
    if options.get("vllm_mode") == "server":
        send_weights_by_file(output)
    if not synchronized:
        generation.VLLMGeneration.sync_weights = lambda self: None
    settings = {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_max_model_length": 128,
        "per_device_train_batch_size": 64,
        "steps_per_generation": 4,
        "num_generations": 8,
        "max_completion_length": 48,
        "max_steps": 12,
        "learning_rate": 3e-4,
        "lr_scheduler_type": "constant",
        "loss_type": "grpo",
        "scale_rewards": "none",
        "use_cpu": True,
        "bf16": False,
        "logging_steps": 1,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": 1,
    }
    config = config_class(str(output), **settings | options)
    tokenizer = AutoTokenizer.from_pretrained(model_path, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    data = Dataset.from_list([{**row, "prompt": row["problem"]} for row in distinct_rows(generate, "train", 256, 0)])
    trainer = trainer_class(model, TASK.reward, config, train_dataset=data, processing_class=tokenizer)
    if compared:
        write(output, {"losses": compare_losses(trainer)})
        return
    trainer.train(resume_from_checkpoint=resume)

    trainer.vllm_generation.sync_weights()
    prompts = [tokenizer(row["problem"])["input_ids"] for row in distinct_rows(generate, "test", QUESTIONS, 1)]
    answers = greedy_of_sampler(trainer, prompts)
    trained = greedy_of_model(trainer.accelerator.unwrap_model(trainer.model), tokenizer, prompts)
    base = greedy_of_model(AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32), tokenizer, prompts)

    def equal(left, right) -> int:
        return sum(a == b for a, b in zip(left, right, strict=True))

    result = {
        "logs": trainer.state.log_history,
        "step": trainer.state.global_step,
        "sampler_dtype": getattr(trainer, "sampler_dtype", None),
        "weights": digest(trainer.accelerator.unwrap_model(trainer.model)),
        "sampler_is_trained": equal(answers, trained),
        "sampler_is_base": equal(answers, base),
        "trained_is_base": equal(trained, base),
    }
    write(output, result)


def digest(model: torch.nn.Module) -> str:
    """Of every bit of the weights."""
    found = hashlib.sha256()
    for weight in model.parameters():
        found.update(weight.detach().numpy().tobytes())
    return found.hexdigest()


def write(output: Path, result: dict) -> None:
    output.mkdir(parents=True, exist_ok=True)
    (output / "result.json").write_text(json.dumps(result))


def compare_losses(trainer: ABCGRPOTrainer) -> dict[str, dict[str, float]]:
    """Of a rollout by vLLM, for each mode of the importance correction: our loss, TRL's own, and what the correction
    does. The weights move after the rollout, so that ratios are not 1."""
    found = {}
    model = trainer.accelerator.unwrap_model(trainer.model)
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    trainer.current_gradient_accumulation_steps = 1
    for mode in MODES:
        trainer.vllm_importance_sampling_mode = mode
        batch = next(iter(trainer.get_train_dataloader()))
        inputs = trainer._generate_and_score_completions(batch)
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.02 * torch.randn_like(parameter)
        ours, theirs = (
            loss(trainer, trainer.model, inputs).item()
            for loss in (ABCGRPOTrainer._compute_loss, GRPOTrainer._compute_loss)
        )
        rule, trainer.rule = trainer.rule, Boundaries.uniform(0.01)
        other = ABCGRPOTrainer._compute_loss(trainer, trainer.model, inputs).item()
        trainer.rule = rule
        weighted = inputs["importance_sampling_ratio"].expand_as(inputs["completion_mask"])
        mask = inputs["completion_mask"].bool()
        with torch.no_grad():
            for parameter, before in zip(model.parameters(), weights, strict=True):
                parameter.copy_(before)
        shift = (weighted[mask] - 1).abs().max().item()
        found[mode] = {"ours": ours, "trl": theirs, "other_rule": other, "largest_correction": shift}
    return found


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
