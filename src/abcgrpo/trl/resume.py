"""Exact resume: a run that is killed and resumed ends as one that was never stopped.

The host saves weights, optimizer, scheduler, random states and its own counters. What it leaves out between a rollout
and its mini-batches is saved beside them: the buffered rollout and the place in it, sums that are not logged yet, and
what the fast update knows of the rollout. On resuming, the order of the data of later epochs is restored too.

`output_dir/resume` holds one such state, renewed every `resume_minutes`; the host's checkpoints (`save_steps`) hold it
as well, unless `save_only_model` keeps them small. Any of them can be resumed from.
"""

import logging
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
import trl
from datasets import Dataset
from safetensors.torch import load_model, save_model
from torch.utils.data import Sampler
from transformers import TrainerCallback
from transformers.trainer_utils import rotate_checkpoints
from trl.trainer.utils import RepeatSampler

from abcgrpo.errors import UserError
from abcgrpo.files import without_secrets
from abcgrpo.trl import checkpoints
from abcgrpo.trl.numbers import GuardedNumbers
from abcgrpo.trl.packing import load_packed, save_packed
from abcgrpo.trl.signals import StopSignals

logger = logging.getLogger(__name__)

COUNTERS = (
    "_step",
    "_current_train_step_time",
    "_total_loss_scalar",
    "_globalstep_last_logged",
    "_initial_num_input_tokens_seen",
    "_update_stock_width",
    "skipped_steps",
    "skipped_in_a_row",
)
"""Numbers of the trainer that the host's checkpoint leaves out."""

FREE = {
    "output_dir", "run_name", "project", "report_to", "disable_tqdm", "log_level", "log_level_replica",
    "log_on_each_node", "save_only_model", "save_strategy", "save_steps", "save_on_each_node", "save_total_limit",
    "resume_from_checkpoint", "resume_minutes", "local_rank", "push_to_hub", "hub_token", "hub_private_repo",
    "hub_model_id", "hub_strategy", "hub_always_push", "hub_revision",
}  # fmt: skip
"""Arguments that change neither weights nor metrics, so that they may differ when a run goes on."""


class ExactResume(GuardedNumbers):
    """Checkpoints that are whole and hold all of a run's state; `train` that goes on from them; signals that save.

    `train(resume_from_checkpoint=True)` goes on from the newest complete state in `output_dir`, whether a checkpoint or
    the rolling one; a path names one. SIGTERM and Ctrl-C end training after the step, with a state to go on from;
    `train` then raises SystemExit or KeyboardInterrupt, as the signal would have at once.

    Raises:
        UserError: a checkpoint of another configuration (the differences are listed), one that holds no state to go on
            from, or a checkpoint that cannot be written.
        ValueError: options under which a run cannot go on exactly.
    """

    resume_minutes = 10.0
    """At least so many minutes lie between two rolling states. A field of this name in the arguments comes first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.resume_minutes = getattr(self.args, "resume_minutes", self.resume_minutes)
        self.interrupted = False
        """A signal ended training before its last step."""
        if self.args.enable_jit_checkpoint:
            raise ValueError(
                "enable_jit_checkpoint saves in the middle of a step, where a GRPO run cannot go on exactly: leave it "
                "out. SIGTERM and Ctrl-C save at the end of the step without it."
            )
        self._signals = StopSignals()
        self._resume_point: Path | None = None
        self._staging: Path | None = None
        self._saved_at: dict[Path, int] = {}
        self._last_saved = self._session_started = time.monotonic()
        self._earlier_seconds = 0.0
        self._train_sampler: Sampler | None = None
        self.add_callback(_Restore(self))

    # -- the run -------------------------------------------------------------------------------------------------------

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any):
        self._resume_point = self._found(resume_from_checkpoint) if resume_from_checkpoint else None
        if self._resume_point is not None:
            self._check(self._resume_point)
        self.interrupted = False
        evaluate_first = self.args.eval_on_start
        self.args.eval_on_start = evaluate_first and self._resume_point is None  # it has been done
        self._signals = StopSignals()
        try:
            with self._signals:
                output = super().train(str(self._resume_point) if self._resume_point else None, *args, **kwargs)
        finally:
            self.args.eval_on_start = evaluate_first
            self._resume_point = None
        if self.interrupted:
            if self._signals.received == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(128 + signal.SIGTERM)
        return output

    @property
    def seconds(self) -> float:
        """How long the run has trained, earlier sessions included."""
        return self._earlier_seconds + time.monotonic() - self._session_started

    def _run_epoch(self, **arguments: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        epoch, resumed = arguments["epoch"], arguments["resume_from_checkpoint"] is not None
        if resumed and epoch == arguments["epochs_trained"]:
            self._skip_orders(epoch)
        if self.state.global_step >= self.state.max_steps:  # resumed from its last step: the host would make one more
            self.control.should_training_stop = True
            return
        super()._run_epoch(**arguments)

    def _get_train_sampler(self, dataset: Dataset | None = None) -> Sampler:
        self._train_sampler = super()._get_train_sampler(dataset)
        return self._train_sampler

    def _skip_orders(self, epochs: int) -> None:
        """The sampler draws an order per epoch from a generator of its own; the host starts that one anew."""
        sampler = self._train_sampler
        if isinstance(sampler, RepeatSampler) and sampler.shuffle:
            for _ in range(epochs):
                torch.randperm(sampler.num_samples, generator=sampler.generator)

    def _maybe_log_save_evaluate(self, tr_loss, grad_norm, model, trial, *args: Any, **kwargs: Any) -> None:
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, model, trial, *args, **kwargs)
        finished = self.state.global_step >= self.state.max_steps
        due = self.accelerator.is_main_process and time.monotonic() - self._last_saved >= 60 * self.resume_minutes
        due, stopping = self._anywhere(due, self._signals.received is not None)
        # Within a streak of skipped steps the last state from before it stays the one to go on from.
        if not finished and (stopping or (due and not self.skipped_in_a_row)):
            self._save_rolling(model, trial)
        if stopping and not finished:
            self.interrupted = True
            self.control.should_training_stop = True

    def _anywhere(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is set on any process."""
        if self.accelerator.num_processes == 1:
            return list(flags)
        counts: Any = self.accelerator.reduce(torch.tensor(flags, device=self.accelerator.device).int(), "sum")
        return counts.bool().tolist()

    def _finalize_training(self, trial, num_train_samples, start_time):
        return super()._finalize_training(trial, num_train_samples, start_time - self._earlier_seconds)

    # -- saving --------------------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model, trial) -> None:
        folder = Path(self._get_output_dir(trial))
        self._write(model, trial, folder, resumable=not self.args.save_only_model)
        if self.args.should_save:
            limit, best = self.args.save_total_limit, self.state.best_model_checkpoint
            rotate_checkpoints(str(folder), limit, best, use_mtime=True)

    def _save_rolling(self, model, trial) -> None:
        """Renew the state in `output_dir/resume`, unless a checkpoint of this step holds it already."""
        folder = Path(self._get_output_dir(trial))
        if not self.args.save_only_model and self._saved_at.get(folder) == self.state.global_step:
            return
        only_model, push = self.args.save_only_model, self.args.push_to_hub
        self.args.save_only_model = self.args.push_to_hub = False
        try:
            self._write(model, trial, folder / checkpoints.ROLLING, resumable=True)
        finally:
            self.args.save_only_model, self.args.push_to_hub = only_model, push
        if self.args.should_save:
            checkpoints.keep_only(folder / checkpoints.ROLLING, f"checkpoint-{self.state.global_step}")

    def _write(self, model, trial, folder: Path, *, resumable: bool) -> None:
        """The host's checkpoint and, with `resumable`, our state; in place when both are complete on all processes."""
        step = self.state.global_step
        if self._saved_at.get(folder) == step:
            return
        name = f"checkpoint-{step}"
        last = checkpoints.newest_complete(Path(self._get_output_dir(trial)))
        with checkpoints.explained_failure(folder, step, last), self._staged(folder):
            super()._save_checkpoint(model, trial)
            if resumable:
                self._save_position(folder / checkpoints.STAGING / name)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                if resumable:
                    checkpoints.describe(folder / checkpoints.STAGING / name, self.configuration(), versions())
                self._point_best(folder, name)
                checkpoints.publish(folder, name)
            self.accelerator.wait_for_everyone()
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(folder / name))
        self._saved_at[folder] = step
        if resumable:
            self._last_saved = time.monotonic()

    @contextmanager
    def _staged(self, folder: Path):
        """Inside, the host writes to `folder`'s staging."""
        if self.args.should_save:
            checkpoints.clear_staging(folder)
            (folder / checkpoints.STAGING).mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        self._staging = folder / checkpoints.STAGING
        try:
            yield
        finally:
            self._staging = None

    def _get_output_dir(self, trial) -> str:
        return str(self._staging) if self._staging else super()._get_output_dir(trial)

    def _point_best(self, folder: Path, name: str) -> None:
        """The host notes the best checkpoint by the path that it was written under."""
        staged = folder / checkpoints.STAGING / name
        if self.state.best_model_checkpoint == str(staged):
            self.state.best_model_checkpoint = str(folder / name)
            self.state.save_to_json(str(staged / "trainer_state.json"))

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """The host uploads in the background, from a directory that must have its final name by then."""
        if self._staging is None:
            super()._push_from_checkpoint(checkpoint_folder)

    def _save_position(self, checkpoint: Path) -> None:
        generate_every = self.args.steps_per_generation * self.num_iterations  # type: ignore[operator]
        used_up = self._step % generate_every == 0
        elided = self._update_old_elided
        save_packed(
            {
                "counters": {name: getattr(self, name) for name in COUNTERS},
                "seconds": self.seconds,
                "rollout": None if used_up else self._buffered_inputs,
                "old_elided": [elided.start, elided.stop],
                "loss": self._tr_loss,
                "metrics": {mode: dict(values) for mode, values in self._metrics.items()},
                "completions": self._completions_table(),
            },
            self._position_file(checkpoint),
        )
        if self.args.sync_ref_model and self.ref_model is not None and self.args.should_save:
            save_model(self.accelerator.unwrap_model(self.ref_model), str(checkpoint / "ref_model.safetensors"))

    def _completions_table(self) -> dict[str, Any]:
        """What `log_completions` would show next; images are not kept."""
        if not self.log_completions:
            return {}
        lists = {name: list(self._logs[name]) for name in ("prompt", "completion", "advantages")}
        nested = {name: {key: list(v) for key, v in self._logs[name].items()} for name in ("rewards", "extra")}
        return lists | nested

    def _position_file(self, checkpoint: Path) -> Path:
        return checkpoint / f"position-{self.accelerator.process_index}"

    # -- resuming ------------------------------------------------------------------------------------------------------

    def configuration(self) -> dict[str, Any]:
        """What must be equal for a run to go on: arguments but for secrets, processes, model, data and rewards."""
        model = self.accelerator.unwrap_model(self.model)
        count = sum(parameter.numel() for parameter in model.parameters())
        data = self.train_dataset
        return {
            **{name: value for name, value in without_secrets(self.args.to_dict()).items() if name not in FREE},
            "processes": self.accelerator.num_processes,
            "model": f"{type(model).__name__} with {count} parameters",
            "training set": f"{len(data)} rows, {data._fingerprint}" if isinstance(data, Dataset) else "a stream",
            "rewards": list(self.reward_func_names),
        }

    def _found(self, wanted: str | bool) -> Path:
        if wanted is not True:
            return Path(str(wanted))
        found = checkpoints.newest_complete(Path(str(self.args.output_dir)))
        if found is None:
            raise UserError(f"{self.args.output_dir} holds no complete state to resume from.")
        return found

    def _check(self, checkpoint: Path) -> None:
        if self.args.ignore_data_skip:
            raise ValueError("ignore_data_skip would begin the data anew, so the run would not go on exactly")
        known = checkpoints.read_description(checkpoint)
        if different := checkpoints.differences(known["configuration"], self.configuration()):
            listed = "\n".join(f"  {line}" for line in different)
            raise UserError(
                f"{checkpoint} is of another run and cannot be resumed from:\n{listed}\nGive the same settings, or "
                f"another output_dir."
            )
        if changed := checkpoints.differences(known["versions"], versions()):
            logger.warning("Resumed with other versions, so not bit for bit: %s", "; ".join(changed))

    def restore_position(self) -> None:
        """Put back what `_save_position` kept; the host has restored the rest, and loads random states afterwards."""
        self._session_started = self._last_saved = time.monotonic()
        self._saved_at.clear()
        if self._resume_point is None:
            return
        position = load_packed(self._position_file(self._resume_point), self.accelerator.device)
        for name, value in position["counters"].items():
            setattr(self, name, value)
        self._initial_global_step = 0  # from which transformers ≥ 5.19 counts: of the run, not of this session
        self._earlier_seconds = position["seconds"]
        self._buffered_inputs = position["rollout"]
        self._update_old_elided = range(*position["old_elided"])
        self._tr_loss = position["loss"].to(self.args.device)
        for mode, values in position["metrics"].items():
            self._metrics[mode].update(values)
        for name, values in position["completions"].items():
            if isinstance(values, list):
                self._logs[name].extend(values)
            else:
                for key, column in values.items():
                    self._logs[name][key].extend(column)
        if self.args.sync_ref_model and self.ref_model is not None:
            load_model(self.accelerator.unwrap_model(self.ref_model), str(self._resume_point / "ref_model.safetensors"))


class _Restore(TrainerCallback):
    """The host sets its sums to zero after it has loaded a checkpoint; what comes next is this event."""

    def __init__(self, trainer: ExactResume) -> None:
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        self.trainer.restore_position()


def versions() -> dict[str, str]:
    """Of the libraries that compute."""
    return {"torch": torch.__version__, "transformers": transformers.__version__, "trl": trl.__version__}
