"""Whole training steps of countdown, stock TRL beside this trainer, and where their time goes.

    python timings/step.py --json step.json

The shape of `countdown-study`: 64 problems × 8 answers per rollout, cut into 4 optimizer steps. Stock is
`trl.GRPOTrainer` with GRPO's loss; ours is `ABCGRPOTrainer` with GRPO's bounds and the fast update. They take turns
at every optimizer step, and all of it is done twice: whoever goes second in a pair is slower by some percent, so that
each goes second once.
Phases: "rollout" (generation), "reward", and "update" (all else: old log-probs, loss, backward pass, optimizer).
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from turns import now, train_in_turns
from update_phase import ARMS

from abcgrpo.tasks import TrainingData, resolve_model, with_prompts
from abcgrpo.tasks.countdown import TASK

PHASES = {"_generate": "rollout", "_calculate_rewards": "reward"}
"""Methods of the host whose time is a phase of its own."""


def phased(host: type) -> type:
    """`host`, which adds up the seconds of its phases in `phase_seconds`."""

    class Phased(host):
        def __init__(self, *args, **kwargs):
            self.phase_seconds = dict.fromkeys(PHASES.values(), 0.0)
            super().__init__(*args, **kwargs)

    for method, phase in PHASES.items():
        setattr(Phased, method, _timed(getattr(host, method), phase))
    return Phased


def countdown_trainer(host: type, config: type, steps: int, model: str = "countdown-base", **options: Any) -> Any:
    """A trainer on countdown in that shape; `options` are settings beside or instead of it."""
    path = resolve_model(model)
    torch.manual_seed(0)
    problems = options.pop("problems", 512)
    settings = {
        "report_to": [],
        "use_cpu": not torch.cuda.is_available(),
        "bf16": False,
        "save_strategy": "no",
        "disable_tqdm": True,
        "per_device_train_batch_size": 128,
        "gradient_accumulation_steps": 1,
        "steps_per_generation": 4,
        "num_generations": 8,
        "max_completion_length": 48,
        "max_steps": steps,
        "logging_steps": 1,
        "learning_rate": 3e-5,
        "loss_type": "grpo",
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
    }
    built = host(
        model=AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(path),
        reward_funcs=TASK.reward,
        train_dataset=Dataset.from_list(with_prompts(TASK.training_rows(TrainingData(problems)), TASK.template)),
        args=config(**({"output_dir": tempfile.mkdtemp()} | settings | options)),
    )
    built.remove_callback(PrinterCallback)
    return built


def build(arm: str, steps: int) -> Any:
    """A trainer of this arm, its phases timed."""
    options = dict(ARMS[arm])
    host, config = phased(options.pop("host")), options.pop("config_class")
    return countdown_trainer(host, config, steps, scale_rewards="none", **options)


def measure(steps: int) -> dict[str, Any]:
    """Seconds of each phase, both arms, and stock over ours."""
    phases = (*PHASES.values(), "update", "all")
    seconds = {arm: dict.fromkeys(phases, 0.0) for arm in ARMS}
    wall = dict.fromkeys(ARMS, 0.0)
    active = []
    for order in (list(ARMS), list(reversed(ARMS))):
        trainers = [build(arm, steps) for arm in order]
        for arm, built, clock in zip(order, trainers, train_in_turns(trainers), strict=True):
            spent = built.phase_seconds | {"update": clock.cpu - sum(built.phase_seconds.values()), "all": clock.cpu}
            seconds[arm] = {phase: seconds[arm][phase] + spent[phase] for phase in phases}
            wall[arm] += clock.wall
            active += [log["update/active_rows"] for log in built.state.log_history if "update/active_rows" in log]
    return {
        "steps": 2 * steps,
        "cpu_seconds": seconds,
        "ratio": {phase: seconds["stock"][phase] / seconds["fast"][phase] for phase in phases},
        "wall_ratio": wall["stock"] / wall["fast"],
        "active_rows": sum(active) / len(active),
    }


def _timed(method: Any, phase: str) -> Any:
    def timed(self, *args, **kwargs):
        start = now()[0]
        result = method(self, *args, **kwargs)
        self.phase_seconds[phase] += now()[0] - start
        return result

    return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=16, help="optimizer steps of each pair; 4 make a rollout")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    figures = measure(options.steps)
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
