"""One training run: a recipe in, a directory out.

The directory holds `run.json` (recipe, versions, outcome), `metrics.jsonl` (one line per logging step) and the
checkpoints that TRL's `save_steps` asks for.
"""

import importlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback

from abcgrpo.errors import UserError
from abcgrpo.experiments.manifest import environment
from abcgrpo.experiments.recipe import Recipe
from abcgrpo.files import json_line, write_json
from abcgrpo.progress import Progress, quiet_libraries
from abcgrpo.run_files import MANIFEST, METRICS
from abcgrpo.tasks import TrainingData, get_task, resolve_model, with_prompts
from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer


def train(recipe: Recipe) -> Path:
    """Train as the recipe says and return the run's directory.

    Everything that can be known to be wrong is refused before the directory is made. A run that fails in its first
    optimizer step leaves nothing behind; one that fails later leaves its metrics and checkpoints, and says so in
    `run.json`. Of several processes the first one writes.

    Raises:
        UserError: a mistake in the recipe, a directory that holds a run, or rewards of the wrong number.
    """
    quiet_libraries()
    arguments = _arguments(recipe)
    output = Path(str(arguments.output_dir))
    if (output / MANIFEST).exists():
        raise UserError(
            f"{output} already holds a run. Give another output_dir, or remove that directory to train it anew."
        )
    is_new = not output.exists()  # the trainer makes it when it is built
    dataset = _dataset(recipe, arguments.seed)
    needed = (arguments.generation_batch_size or 0) // (arguments.num_generations or 1)
    if len(dataset) < needed:
        raise UserError(
            f"A rollout takes {needed} problems, the training set has {len(dataset)}: no step could be made."
        )
    trainer = _trainer(recipe, arguments, dataset, _rewards(recipe))
    trainer.accelerator.wait_for_everyone()  # no process may still be looking for a run when the first writes one
    trainer.remove_callback(PrinterCallback)
    if not trainer.accelerator.is_main_process:
        trainer.train()
        return output
    with _manifest(recipe, trainer, output, is_new), Progress("training", trainer.args.max_steps) as progress:
        trainer.add_callback(_RunLog(output / METRICS, progress))
        trainer.train()
        trainer.create_model_card()
    return output


@contextmanager
def _manifest(recipe: Recipe, trainer: ABCGRPOTrainer, output: Path, is_new: bool) -> Iterator[None]:
    """`run.json` before, and with the outcome after, the training inside."""
    manifest: dict[str, Any] = {"status": "running", "recipe": recipe.to_flat(), "environment": environment()}
    write_json(output / MANIFEST, manifest)
    started = time.time()
    try:
        yield
    except BaseException as error:
        step = trainer.state.global_step
        if step == 0 and is_new:
            shutil.rmtree(output)
        else:
            write_json(output / MANIFEST, manifest | {"status": "failed", "error": f"{type(error).__name__}: {error}"})
        if isinstance(error, ValueError):
            raise UserError(f"Training stopped at step {step}: {error}") from error
        raise
    manifest |= {
        "status": "finished",
        "steps": trainer.state.global_step,
        "tokens": int(trainer.state.num_input_tokens_seen),
        "seconds": round(time.time() - started, 1),
    }
    write_json(output / MANIFEST, manifest)


def _arguments(recipe: Recipe) -> ABCGRPOConfig:
    """The trainer's arguments. Quiet by default: progress and metrics have their own places."""
    quiet = {"report_to": [], "disable_tqdm": True}
    try:
        return ABCGRPOConfig(**(quiet | recipe.training))
    except (ValueError, TypeError) as error:
        raise UserError(f"The recipe's training fields do not fit together: {error}") from error


def _dataset(recipe: Recipe, seed: int) -> Dataset:
    """The task's rows with their prompts."""
    task = get_task(recipe.task)
    data = TrainingData(
        recipe.num_problems, seed, recipe.dataset_name, recipe.dataset_config, recipe.skip_unusable_rows
    )
    template = task.template.changed(recipe.prompt_template, recipe.prompt_form)
    return Dataset.from_list(with_prompts(task.training_rows(data), template))


def _trainer(recipe: Recipe, arguments: ABCGRPOConfig, dataset: Dataset, rewards: list[Callable]) -> ABCGRPOTrainer:
    try:
        trainer = ABCGRPOTrainer(
            model=resolve_model(recipe.model_name_or_path),
            reward_funcs=rewards,
            args=arguments,
            train_dataset=dataset,
        )
    except OSError as error:
        raise UserError(
            f"The model {recipe.model_name_or_path!r} cannot be loaded. It is neither a directory here nor a model "
            f"that the hub lets us read: {str(error).splitlines()[0]}"
        ) from error
    trainer.card_base = recipe.model_name_or_path
    trainer.card_data = recipe.dataset_name or f"{len(dataset)} problems of the task {recipe.task}"
    return trainer


def _rewards(recipe: Recipe) -> list[Callable]:
    """The recipe's reward functions, or the task's own."""
    if recipe.reward_funcs is None:
        return [get_task(recipe.task).reward]
    sys.path.insert(0, str(Path.cwd()))
    return [_imported(name) for name in recipe.reward_funcs]


def _imported(name: str) -> Callable:
    module, _, function = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"reward_funcs: {name!r} cannot be imported as module.function: {error}.") from error


class _RunLog(TrainerCallback):
    """Appends what the trainer logs to a file, line by line, and moves the progress display."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self.path = path
        self.progress = progress

    def on_train_begin(self, args, state, control, **kwargs):
        self.progress.total = state.max_steps

    def on_step_end(self, args, state, control, **kwargs):
        self.progress.advance_to(state.global_step)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if logs:
            with self.path.open("a", encoding="utf-8") as lines:
                lines.write(json_line({"step": state.global_step} | logs))
            if "reward" in logs:
                self.progress.advance_to(
                    state.global_step, f"reward {logs['reward']:.2f}, entropy {logs['entropy']:.2f}"
                )
