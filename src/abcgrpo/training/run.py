"""One training run: a recipe in, a directory out.

The directory holds `run.json` (recipe, versions, outcome), `metrics.jsonl` (one line per logging step) and the
checkpoints that TRL's `save_steps` asks for.
"""

import errno
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.grpo_config import GRPOConfig

from abcgrpo.curves import rule_curve
from abcgrpo.errors import UserError
from abcgrpo.evaluation.results import suspicion_of_training
from abcgrpo.files import json_line, locked, plain, read_json, without_secrets, write_json, write_text
from abcgrpo.progress import Progress, quiet_libraries
from abcgrpo.run_files import MANIFEST, METRICS, ZERO_VARIANCE, differences, step_of
from abcgrpo.tasks import resolve_model, spec_text
from abcgrpo.tasks.prompts import prompt_tokens
from abcgrpo.tasks.sources import model_not_loaded
from abcgrpo.training.adapter import adapter_of, check_adapter, with_adapter
from abcgrpo.training.arguments import check_arguments, make_arguments, missing_here
from abcgrpo.training.batches import plan_batches, require_processes
from abcgrpo.training.data import task_of, training_examples, training_set
from abcgrpo.training.manifest import environment, settings
from abcgrpo.training.memory import model_config
from abcgrpo.training.recipe import Recipe, configuration_class
from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer, FastGRPOConfig, FastGRPOTrainer
from abcgrpo.trl.adapters import adapter_settings, adapters_of, count_trained
from abcgrpo.trl.processes import leave_process_group
from abcgrpo.trl.resume.checkpoints import ROLLING, newest_complete
from abcgrpo.trl.resume.configuration import FREE

NO_WRITING = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
    errno.ENOTDIR, errno.EEXIST,
}  # fmt: skip
"""Error numbers of a full disk, an exceeded quota, or a directory without permission."""


def train(recipe: Recipe) -> Path:
    """Train as the recipe says and return the run's directory.

    An interrupted run resumes: from the newest state in its directory, exactly, or from the start where it was
    too short to leave one. What can be known to be wrong beforehand is refused, and leaves no directory behind, as does
    a run that fails in its first optimizer step; one that fails later leaves its metrics and checkpoints, and says so
    in `run.json`. Of several processes the first one writes.

    Raises:
        UserError: a mistake in the recipe; a directory that holds a finished run, a run of another recipe, or one that
            another process is training; rewards of the wrong number; a disk that cannot be written to.
        KeyboardInterrupt, SystemExit: Ctrl-C or SIGTERM, after the state was saved.
    """
    try:
        return _train(recipe)
    finally:
        leave_process_group()


def _train(recipe: Recipe) -> Path:
    quiet_libraries()
    arguments = make_arguments(recipe, configuration_class(recipe.objective))
    check_arguments(arguments)
    check_adapter(recipe, arguments)
    output = Path(str(arguments.output_dir))
    main = arguments.process_index == 0
    require_processes(recipe, arguments.world_size)
    if obstacles := missing_here(recipe, arguments):
        raise UserError("\n".join(obstacles))
    if adapter := adapter_of(recipe):
        with_adapter(model_config(recipe.model_name_or_path), adapter)  # refuses one that does not fit
    dataset = training_set(training_examples(recipe, arguments.seed))
    plan_batches(arguments, arguments.world_size, len(dataset))  # refuses a set that does not fill one rollout
    rewards = task_of(recipe).rewards
    with _claimed(output) if main else nullcontext():
        resumes = _may_go_on(recipe, output)
        trainer = _trainer(recipe, arguments, dataset, rewards)
        trainer.accelerator.wait_for_everyone()  # no process may still be looking for a run when the first writes one
        trainer.remove_callback(PrinterCallback)
        state = newest_complete(output) if resumes else None
        if main:
            _train_and_record(recipe, trainer, output, state)
        else:
            trainer.train(str(state) if state else None)
        trainer.accelerator.wait_for_everyone()  # who leaves first may be needed still
    return output


def _may_go_on(recipe: Recipe, output: Path) -> bool:
    """Whether the directory holds an unfinished run of this recipe.

    Raises:
        UserError: it holds a finished run, or one of another recipe.
    """
    if not (output / MANIFEST).exists():
        return False
    known = read_json(output / MANIFEST)
    if known["status"] == "finished":
        raise UserError(
            f"{output} already holds a run. Give another output_dir, or remove that directory to train again."
        )
    free = dict.fromkeys(FREE)
    wanted = _recorded(recipe)
    if different := differences(known["recipe"] | free, wanted | free):
        listed = "\n".join(f"  {line}" for line in different)
        raise UserError(
            f"{output} holds an unfinished run of another recipe:\n{listed}\nGive the same settings to resume it, "
            f"another output_dir, or remove that directory."
        )
    return True


@contextmanager
def _claimed(output: Path) -> Iterator[None]:
    """The run's directory, which no other process may train in; made here, and removed again if nothing came of it."""
    new = [each for each in (output, *output.parents) if not each.exists()]
    try:
        output.mkdir(parents=True, exist_ok=True)
        with locked(output, f"Another process is training in {output}."):
            try:
                yield
            finally:
                if new and not (output / MANIFEST).exists():
                    shutil.rmtree(output)
                    with suppress(OSError):  # another run may have moved in
                        for each in new[1:]:
                            each.rmdir()
    except OSError as error:
        if error.errno not in NO_WRITING:
            raise
        raise UserError(f"{output} cannot be written to: {error}. Existing files stay.") from error


def _train_and_record(recipe: Recipe, trainer: FastGRPOTrainer, output: Path, state: Path | None) -> None:
    with _manifest(recipe, trainer, output, state), Progress("training", trainer.args.max_steps) as progress:
        if state is not None:
            print(f"{output}: resuming from step {step_of(state)}.", file=sys.stderr, flush=True)
        trainer.add_callback(_RunLog(output / METRICS, progress))
        trainer.train(str(state) if state else None)
        trainer.create_model_card()
    shutil.rmtree(output / ROLLING, ignore_errors=True)  # of no use to a finished run


@contextmanager
def _manifest(recipe: Recipe, trainer: FastGRPOTrainer, output: Path, state: Path | None) -> Iterator[None]:
    """`run.json` before, and with the outcome after, the training inside."""
    arguments = trainer.args
    manifest: dict[str, Any] = {
        "status": "running",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipe": _recorded(recipe),
        "arguments": settings(arguments),
        **_rule_recorded(arguments),
        "seeds": {"seed": arguments.seed, "data_seed": arguments.data_seed},
        "processes": trainer.accelerator.num_processes,
        **_adapters_recorded(trainer),
        **({"sampler_dtype": trainer.sampler_dtype} if trainer.sampler_dtype else {}),
        "environment": environment(),
    }
    if state is not None:
        earlier = read_json(output / MANIFEST).get("resumed_after_steps", [])
        manifest["resumed_after_steps"] = [*earlier, step_of(state)]
    write_json(output / MANIFEST, manifest)
    try:
        yield
    except BaseException as error:
        step = trainer.state.global_step
        with suppress(OSError):  # a full disk is what it may be about
            if step == 0 and state is None:
                (output / MANIFEST).unlink()
            elif trainer.interrupted:
                write_json(output / MANIFEST, manifest | {"status": "interrupted", "steps": step})
            else:
                reason = f"{type(error).__name__}: {error}"
                write_json(output / MANIFEST, manifest | {"status": "failed", "error": reason})
        if isinstance(error, ValueError):
            raise UserError(f"Training stopped at step {step}: {error}") from error
        raise
    manifest |= {
        "status": "finished",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "steps": trainer.state.global_step,
        "tokens": int(trainer.state.num_input_tokens_seen),
        "seconds": round(trainer.seconds, 1),
    }
    write_json(output / MANIFEST, manifest)


def _rule_recorded(arguments: GRPOConfig) -> dict[str, Any]:
    """The clipping rule by name and parameters, and its curve; nothing with TRL's own losses."""
    if not isinstance(arguments, ABCGRPOConfig):
        return {}
    rule = arguments.clipping_rule
    return {"rule": rule.to_dict(), "rule_curve": rule_curve(rule)}


def _adapters_recorded(trainer: FastGRPOTrainer) -> dict[str, Any]:
    """The settings of the adapter as PEFT resolved them, and how many parameters are trained; nothing without one."""
    adapters = adapters_of(trainer.accelerator, trainer.model)
    if not adapters:
        return {}
    resolved = {name: adapter_settings(each) for name, each in adapters.items()}
    return {"adapters": resolved, "trained_parameters": count_trained(trainer.model)}


def _recorded(recipe: Recipe) -> dict[str, Any]:
    """The recipe as `run.json` has it."""
    return plain(without_secrets(recipe.to_flat()))


def _trainer(recipe: Recipe, arguments: FastGRPOConfig, dataset: Dataset, rewards: list[Callable]) -> FastGRPOTrainer:
    trainer_class: Any = ABCGRPOTrainer if recipe.objective == "abc-grpo" else FastGRPOTrainer
    model = resolve_model(recipe.model_name_or_path)
    try:
        trainer = trainer_class(
            model=model, reward_funcs=rewards, args=arguments, train_dataset=dataset, peft_config=adapter_of(recipe)
        )
    except OSError as error:
        raise model_not_loaded(recipe.model_name_or_path, error) from error
    for adapter in adapters_of(trainer.accelerator, trainer.model).values():
        if Path(model).is_dir():  # a checkpoint may be loaded from another working directory
            adapter.base_model_name_or_path = str(Path(model).absolute())
    prompt_tokens(trainer.processing_class, dataset[0]["prompt"], recipe.model_name_or_path)  # its chat template
    if isinstance(trainer, ABCGRPOTrainer):  # TRL's own losses have TRL's own card
        trainer.card_base = recipe.model_name_or_path
        trainer.card_data = recipe.dataset_name or f"{len(dataset)} problems of the task {spec_text(recipe.task)}"
    return trainer


class _RunLog(TrainerCallback):
    """Appends what the trainer logs to a file, line by line, and moves the progress display.

    A resumed run starts from the history of its checkpoint: lines of steps that are made again are dropped.
    """

    def __init__(self, path: Path, progress: Progress) -> None:
        self.path = path
        self.progress = progress
        self.begun = False
        """Whether anything was logged."""

    def on_train_begin(self, args, state, control, **kwargs):
        self.progress.total = state.max_steps
        write_text(self.path, "".join(json_line({"step": line["step"]} | line) for line in state.log_history))

    def on_train_end(self, args, state, control, **kwargs):
        if warning := suspicion_of_training(line["reward"] for line in state.log_history if "reward" in line):
            print(f"WARNING. {warning}", file=sys.stderr, flush=True)

    def on_step_end(self, args, state, control, **kwargs):
        self.progress.advance_to(state.global_step)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if logs:
            if not self.begun and logs.get(ZERO_VARIANCE) == 1 and "reward" in logs:
                print(
                    f"WARNING. Until now all answers to a problem have the same reward, for every problem "
                    f"(the mean is {logs['reward']:.3g}): training has nothing to learn from. Look at the answers with "
                    f"`abcgrpo evaluate`.",
                    file=sys.stderr,
                    flush=True,
                )
            self.begun = True
            with self.path.open("a", encoding="utf-8") as lines:
                lines.write(json_line({"step": state.global_step} | logs))
            if note := ", ".join(f"{name} {logs[name]:.2f}" for name in ("reward", "entropy") if name in logs):
                self.progress.advance_to(state.global_step, note)
