"""TRL's methods by which a run begins, is saved and ends → what `Resume` does there."""

from typing import Any

from datasets import Dataset
from torch.utils.data import Sampler
from trl.trainer.grpo_trainer import GRPOTrainer

from abcgrpo.trl.resume.resume import Resume


class ResumableGRPOTrainer(GRPOTrainer):
    """`trl.GRPOTrainer` that tells its `resume` what happens to the run, and nothing else."""

    resume: Resume

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any):
        with self.resume.session(resume_from_checkpoint) as checkpoint:
            output = super().train(checkpoint, *args, **kwargs)
        return output

    def _get_train_sampler(self, dataset: Dataset | None = None) -> Sampler:
        sampler = super()._get_train_sampler(dataset)
        self.resume.sampler_made(sampler)
        return sampler

    def _run_epoch(self, **arguments: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        epoch, resumed = arguments["epoch"], arguments["resume_from_checkpoint"] is not None
        if resumed and epoch == arguments["epochs_trained"]:
            self.resume.skip_orders(epoch)
        if self.state.global_step >= self.state.max_steps:  # resumed from its last step: the host would make one more
            self.control.should_training_stop = True
            return
        super()._run_epoch(**arguments)

    def _load_optimizer_and_scheduler(self, checkpoint) -> None:
        with self.resume.loading_optimizer():
            super()._load_optimizer_and_scheduler(checkpoint)

    def _maybe_log_save_evaluate(self, tr_loss, grad_norm, model, trial, *args: Any, **kwargs: Any) -> None:
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, model, trial, *args, **kwargs)
        self.resume.step_taken(super()._save_checkpoint, model, trial)

    def _finalize_training(self, trial, num_train_samples, start_time):
        return super()._finalize_training(trial, num_train_samples, start_time - self.resume.earlier_seconds)

    def _save_checkpoint(self, model, trial) -> None:
        self.resume.save_checkpoint(super()._save_checkpoint, model, trial)

    def _get_output_dir(self, trial) -> str:
        return str(self.resume.staging) if self.resume.staging else super()._get_output_dir(trial)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """The host uploads in the background, from a directory that must have its final name by then."""
        if self.resume.staging is None:
            super()._push_from_checkpoint(checkpoint_folder)
