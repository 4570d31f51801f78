"""The component that saves a run's whole state and resumes from it."""

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch.utils.data import Sampler
from transformers import TrainerCallback
from transformers.trainer_utils import rotate_checkpoints
from trl.trainer.utils import RepeatSampler

from abcgrpo.errors import UserError
from abcgrpo.run_files import checkpoint_name, differences
from abcgrpo.trl.component import Component
from abcgrpo.trl.config import option
from abcgrpo.trl.resume import checkpoints
from abcgrpo.trl.resume.configuration import NEVER, comparable, configuration_of, versions
from abcgrpo.trl.resume.packing import load_packed, save_packed
from abcgrpo.trl.resume.position import position_of, restore_position
from abcgrpo.trl.resume.settings import Settings
from abcgrpo.trl.resume.signals import StopSignals

logger = logging.getLogger(__name__)


class Resume(Component):
    """Checkpoints that are whole and hold all of a run's state; training that resumes from them; signals that save.

    `train(resume_from_checkpoint=True)` resumes from the newest complete state in `output_dir`, whether a checkpoint or
    the rolling one; a path names one. `output_dir/resume` holds one rolling state, renewed every `resume_minutes`; the
    host's checkpoints (`save_steps`) hold it as well, unless `save_only_model` keeps them small. SIGTERM and Ctrl-C end
    training after the step, with a state to go on from; `train` then raises SystemExit or KeyboardInterrupt, as the
    signal would have at once.

    Raises:
        UserError: a checkpoint of another configuration (the differences are listed), one that holds no state to go on
            from, or a checkpoint that cannot be written.
        ValueError: options under which a run cannot go on exactly.
    """

    name = "resume"

    def __init__(self, trainer: Any) -> None:
        super().__init__(trainer)
        if trainer.args.enable_jit_checkpoint:
            raise ValueError(
                "enable_jit_checkpoint saves in the middle of a step, where a GRPO run cannot resume exactly: leave it "
                "out. SIGTERM and Ctrl-C save at the end of the step without it."
            )
        self._minutes: float = option(trainer.args, "resume_minutes")
        self.interrupted = False
        """A signal ended training before its last step."""
        self.staging: Path | None = None
        """Where the host is to write, while a checkpoint is written."""
        self.continued_from: list[dict[str, Any]] = []
        """The states of other runs that this one went on from: path, step, what was different."""
        self._changes: list[str] = []  # what makes this another run than that of the state it goes on from
        self._signals = StopSignals()
        self._point: Path | None = None
        self._saved_at: dict[Path, int] = {}
        self._last_saved = self._session_started = time.monotonic()
        self._earlier_seconds = 0.0
        self._train_sampler: Sampler | None = None
        trainer.add_callback(_Restore(self))

    @property
    def seconds(self) -> float:
        """How long the run has trained, earlier sessions included."""
        return self._earlier_seconds + time.monotonic() - self._session_started

    @property
    def earlier_seconds(self) -> float:
        """How much of it was in earlier sessions."""
        return self._earlier_seconds

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "continued_from": self.continued_from}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._earlier_seconds = state["seconds"]
        self.continued_from = state["continued_from"]

    # -- the run -------------------------------------------------------------------------------------------------------

    @contextmanager
    def session(self, wanted: str | bool | None) -> Iterator[str | None]:
        """Inside, the host trains, from the checkpoint that is given out."""
        args = self.trainer.args
        self._point = self._found(wanted) if wanted else None
        self._changes = []
        if self._point is not None:
            self._check(self._point)
        self.interrupted = False
        evaluate_first = args.eval_on_start
        args.eval_on_start = evaluate_first and self._point is None  # it has been done
        self._signals = StopSignals()
        try:
            with self._signals:
                yield str(self._point) if self._point else None
        finally:
            args.eval_on_start = evaluate_first
            self._point = None
        if self.interrupted:
            if self._signals.received == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(128 + signal.SIGTERM)

    def sampler_made(self, sampler: Sampler) -> None:
        """The host has made the sampler of the training set."""
        self._train_sampler = sampler

    def skip_orders(self, epochs: int) -> None:
        """The sampler draws an order per epoch from a generator of its own; the host starts that one anew."""
        sampler = self._train_sampler
        if isinstance(sampler, RepeatSampler) and sampler.shuffle:
            for _ in range(epochs):
                torch.randperm(sampler.num_samples, generator=sampler.generator)

    def step_taken(self, host_save: checkpoints.HostSave, model: Any, trial: Any) -> None:
        """An optimizer step is over, logged and evaluated: save the rolling state if it is time, or stop."""
        trainer = self.trainer
        finished = trainer.state.global_step >= trainer.state.max_steps
        due = trainer.accelerator.is_main_process and time.monotonic() - self._last_saved >= 60 * self._minutes
        due, stopping = self._anywhere(due, self._signals.received is not None)
        sound = all(component.may_be_saved for component in trainer.components)
        if not finished and (stopping or (due and sound)):
            self._save_rolling(host_save, model, trial)
        if stopping and not finished:
            self.interrupted = True
            trainer.control.should_training_stop = True

    def _anywhere(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is set on any process."""
        accelerator = self.trainer.accelerator
        if accelerator.num_processes == 1:
            return list(flags)
        counts: Any = accelerator.reduce(torch.tensor(flags, device=accelerator.device).int(), "sum")
        return counts.bool().tolist()

    # -- saving --------------------------------------------------------------------------------------------------------

    def save_checkpoint(self, host_save: checkpoints.HostSave, model: Any, trial: Any) -> None:
        """The checkpoint that `save_steps` asks for."""
        args = self.trainer.args
        folder = Path(self.trainer._get_output_dir(trial))
        self._write(host_save, model, trial, folder, resumable=not args.save_only_model)
        if args.should_save:
            best = self.trainer.state.best_model_checkpoint
            rotate_checkpoints(str(folder), args.save_total_limit, best, use_mtime=True)

    def _save_rolling(self, host_save: checkpoints.HostSave, model: Any, trial: Any) -> None:
        """Renew the state in `output_dir/resume`, unless a checkpoint of this step holds it already."""
        args, step = self.trainer.args, self.trainer.state.global_step
        folder = Path(self.trainer._get_output_dir(trial))
        if not args.save_only_model and self._saved_at.get(folder) == step:
            return
        only_model, push = args.save_only_model, args.push_to_hub
        args.save_only_model = args.push_to_hub = False
        try:
            self._write(host_save, model, trial, folder / checkpoints.ROLLING, resumable=True)
        finally:
            args.save_only_model, args.push_to_hub = only_model, push
        if args.should_save:
            checkpoints.keep_only(folder / checkpoints.ROLLING, checkpoint_name(step))

    def _write(self, host_save: checkpoints.HostSave, model: Any, trial: Any, folder: Path, *, resumable: bool) -> None:
        """The host's checkpoint and, with `resumable`, our state; in place when both are complete on all processes."""
        trainer, step = self.trainer, self.trainer.state.global_step
        if self._saved_at.get(folder) == step:
            return
        name = checkpoint_name(step)
        last = checkpoints.newest_complete(Path(trainer._get_output_dir(trial)))
        with checkpoints.explained_failure(folder, step, last), self._staged(folder):
            host_save(model, trial)
            if resumable:
                self._save_state(folder / checkpoints.STAGING / name)
            trainer.accelerator.wait_for_everyone()
            if trainer.args.should_save:
                if resumable:
                    staged = folder / checkpoints.STAGING / name
                    checkpoints.describe(staged, configuration_of(trainer), versions(), self.continued_from)
                self._point_best(folder, name)
                checkpoints.publish(folder, name)
            trainer.accelerator.wait_for_everyone()
        if trainer.args.push_to_hub:
            trainer._push_from_checkpoint(str(folder / name))
        self._saved_at[folder] = step
        if resumable:
            self._last_saved = time.monotonic()

    @contextmanager
    def _staged(self, folder: Path) -> Iterator[None]:
        """Inside, the host writes to `folder`'s staging."""
        trainer = self.trainer
        if trainer.args.should_save:
            checkpoints.clear_staging(folder)
            (folder / checkpoints.STAGING).mkdir(parents=True)
        trainer.accelerator.wait_for_everyone()
        self.staging = folder / checkpoints.STAGING
        try:
            yield
        finally:
            self.staging = None

    def _point_best(self, folder: Path, name: str) -> None:
        """The host notes the best checkpoint by the path that it was written under."""
        state, staged = self.trainer.state, folder / checkpoints.STAGING / name
        if state.best_model_checkpoint == str(staged):
            state.best_model_checkpoint = str(folder / name)
            state.save_to_json(str(staged / "trainer_state.json"))

    def _save_state(self, checkpoint: Path) -> None:
        trainer = self.trainer
        states = {component.name: component.state_dict() for component in trainer.components}
        save_packed(position_of(trainer) | {"components": states}, self._position_file(checkpoint))
        if trainer.args.sync_ref_model and trainer.ref_model is not None and trainer.args.should_save:
            save_model(trainer.accelerator.unwrap_model(trainer.ref_model), str(checkpoint / "ref_model.safetensors"))

    def _position_file(self, checkpoint: Path) -> Path:
        return checkpoint / f"position-{self.trainer.accelerator.process_index}"

    # -- resuming ------------------------------------------------------------------------------------------------------

    def _found(self, wanted: str | bool) -> Path:
        if wanted is not True:
            return Path(str(wanted))
        found = checkpoints.newest_complete(Path(str(self.trainer.args.output_dir)))
        if found is None:
            raise UserError(f"{self.trainer.args.output_dir} holds no complete state to resume from.")
        return found

    def _check(self, checkpoint: Path) -> None:
        trainer = self.trainer
        if trainer.args.ignore_data_skip:
            raise ValueError("ignore_data_skip would restart the data, so the run would not resume exactly")
        another = option(trainer.args, "resume_as_another_run")
        if another and not checkpoints.is_described(checkpoint):
            self._changes = ["it was written by another trainer"]
            return
        known = checkpoints.read_description(checkpoint)
        pair = (known["configuration"], configuration_of(trainer))
        self._changes = different = differences(*(comparable(one, trainer.args) for one in pair))
        listed = "\n".join(f"  {line}" for line in different)
        if different and not another:
            raise UserError(
                f"{checkpoint} is of another run and cannot be resumed from:\n{listed}\nGive the same settings, or "
                f"another output_dir. To resume anyway, as a different run, set resume_as_another_run."
            )
        if any(line.split(" was ")[0] in NEVER for line in different):
            raise UserError(f"{checkpoint} cannot be loaded into another model or optimizer:\n{listed}")
        if changed := differences(known["versions"], versions()):
            logger.warning("Resumed with other versions, so not bit for bit: %s", "; ".join(changed))

    @contextmanager
    def loading_optimizer(self) -> Iterator[None]:
        """Inside, the host loads optimizer and schedule. Of another run they keep the state, not the settings."""
        settings = Settings(self.trainer.optimizer, self.trainer.lr_scheduler)
        yield
        if self._changes:
            settings.put_back()

    def restore(self) -> None:
        """Put back what `_save_state` kept; the host has restored the rest, and loads random states afterwards."""
        trainer = self.trainer
        self._session_started = self._last_saved = time.monotonic()
        self._saved_at.clear()
        if self._point is None:
            return
        trainer.state.compute_steps(trainer.args, trainer.state.max_steps)  # the host keeps the checkpoint's
        if self._changes:
            step = trainer.state.global_step
            logger.warning(
                "From step %d on this run is another than that of %s: %s", step, self._point, "; ".join(self._changes)
            )
            self.continued_from.append({"checkpoint": str(self._point), "step": step, "changes": self._changes})
            return
        state = load_packed(self._position_file(self._point), trainer.accelerator.device)
        restore_position(trainer, state)
        for component in trainer.components:
            component.load_state_dict(state["components"].get(component.name, {}))
        if trainer.args.sync_ref_model and trainer.ref_model is not None:
            load_model(trainer.accelerator.unwrap_model(trainer.ref_model), str(self._point / "ref_model.safetensors"))


class _Restore(TrainerCallback):
    """The host sets its sums to zero after it has loaded a checkpoint; what comes next is this event."""

    def __init__(self, resume: Resume) -> None:
        self.resume = resume

    def on_train_begin(self, args, state, control, **kwargs):
        self.resume.restore()
