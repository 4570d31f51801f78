"""TRL's trainer with its components: which of them hears of what, and which of TRL's methods they stand behind."""

from typing import Any, cast

from torch import Tensor
from torch.distributed.tensor import DTensor
from trl.trainer.grpo_config import GRPOConfig

from abcgrpo.generation import fast_generation
from abcgrpo.rules import Rule
from abcgrpo.shadow import ShadowRules
from abcgrpo.tokens import RatioLevel
from abcgrpo.trl.adapters import adapters_of
from abcgrpo.trl.advantages import Advantages
from abcgrpo.trl.batch import Batch
from abcgrpo.trl.component import Component, LossPass, Metrics
from abcgrpo.trl.config import FastGRPOConfig, model_name
from abcgrpo.trl.guards import NumberGuards, RewardGuards
from abcgrpo.trl.measurement import Measurement
from abcgrpo.trl.resume import ResumableGRPOTrainer, Resume
from abcgrpo.trl.sampler import sampler_dtype, sampler_in_chosen_dtype
from abcgrpo.trl.shadow_measurement import ShadowMeasurement
from abcgrpo.trl.token_record import TokenRecord
from abcgrpo.trl.update import FastUpdate, Parts
from abcgrpo.trl.update.choice import beyond_weights
from abcgrpo.trl.update.fast import Forward
from abcgrpo.trl.update.parts import base_model
from abcgrpo.trl.update.rows import with_signal


class FastGRPOTrainer(ResumableGRPOTrainer):
    """`trl.GRPOTrainer` with TRL's own losses, plus the fast update phase, the metrics by quadrant, exact resume, and
    guards against bad rewards and bad numbers.

    Takes the host's arguments, with a `FastGRPOConfig` or a `trl.GRPOConfig`. Each addition is a `Component` with its
    own state; this class does nothing but tell them what happens. A subclass with a state of its own makes it a
    component and adds it in `observers`, and it is saved and restored with the run.
    """

    model: Any
    args: GRPOConfig

    def __init__(
        self,
        model,
        reward_funcs=None,
        args: GRPOConfig | None = None,
        train_dataset=None,
        eval_dataset=None,
        processing_class=None,
        reward_processing_classes=None,
        callbacks=None,
        optimizers=(None, None),
        quantization_config=None,
        peft_config=None,
        tools=None,
        rollout_func=None,
        environment_factory=None,
    ) -> None:
        with sampler_in_chosen_dtype(self):
            super().__init__(
                model=model,
                reward_funcs=reward_funcs,
                args=self._arguments(model, args),
                train_dataset=train_dataset,
                eval_dataset=eval_dataset,
                processing_class=processing_class,
                reward_processing_classes=reward_processing_classes,
                callbacks=callbacks,
                optimizers=optimizers,
                quantization_config=quantization_config,
                peft_config=peft_config,
                tools=tools,
                rollout_func=rollout_func,
                environment_factory=environment_factory,
            )
        self.sampler_dtype = sampler_dtype(self)
        """Dtype in which vLLM samples; None on processes that are not the first, and where transformers samples."""
        self._passing: LossPass | None = None
        self.fast_update = FastUpdate(self)
        self.reward_guards = RewardGuards(self)
        self.resume = Resume(self)
        self.advantages = Advantages(self, self.args.estimator if isinstance(self.args, FastGRPOConfig) else None)
        self.components: list[Component] = [
            self.fast_update,
            self.reward_guards,
            self.advantages,
            *self.observers(),
            self.resume,
        ]
        """All of them; what they keep is saved and restored in this order."""

    @classmethod
    def _arguments(cls, model: Any, args: GRPOConfig | None) -> GRPOConfig:
        return FastGRPOConfig(f"{model_name(model)}-GRPO") if args is None else args

    # -- for subclasses ------------------------------------------------------------------------------------------------

    def observers(self) -> list[Component]:
        """The components that follow the loss, in the order in which they hear of it. Called once."""
        observers: list[Component] = [Measurement(self), NumberGuards(self)]
        if not isinstance(self.args, FastGRPOConfig):
            return observers
        if others := self.args.shadows:
            shadows = ShadowRules(self.trained_rule, others, cast(RatioLevel, self.importance_sampling_level))
            observers.append(ShadowMeasurement(self, shadows))
        if responses := self.args.record_tokens:
            observers.append(TokenRecord(self, responses, self.trained_rule))
        return observers

    @property
    def trained_rule(self) -> Rule | None:
        """The clipping rule of the loss; None if the loss is TRL's own."""
        return None

    @property
    def loss_depends_on_cut(self) -> bool:
        """Whether the loss of an optimizer step changes with the way its rows are cut into micro-batches of equal size.

        TRL's `bnpo` divides by the tokens of the micro-batch. A subclass with such a loss of its own overrides this.
        """
        return self.loss_type == "bnpo"

    def rows_with_signal(self, batch: Batch) -> Tensor:
        """Rows that may have a gradient; (B,), bool. The update skips all others.

        A subclass whose loss pulls at rows of advantage 0 overrides this.
        """
        return with_signal(batch)

    @property
    def reads_old_logprobs_first(self) -> bool:
        """Whether something reads `old_per_token_logps` of a micro-batch before the loss has run the policy on it.

        If so they are there from the beginning, at the cost of a pass; otherwise, in the optimizer step right after a
        rollout, they are those of the loss's own pass. True for a subclass with a method of its own around the loss.
        """
        kind = type(self)
        around = (kind._compute_loss, kind.compute_loss, kind.training_step, kind._prepare_inputs)
        return any(not method.__module__.startswith(("abcgrpo.", "trl.", "transformers.")) for method in around)

    def log_token_mean(self, name: str, values: Tensor) -> None:
        """For a loss: log the mean of `values` (B, T) over the unmasked tokens of the optimizer step as `name`."""
        if self._passing is not None:
            self._passing.token_means[name] = values.detach()

    # -- for scripts ---------------------------------------------------------------------------------------------------

    @property
    def update_parts(self) -> Parts:
        """Which parts of the fast update this run has, and why not the others."""
        return self.fast_update.parts

    @property
    def interrupted(self) -> bool:
        """A signal ended training before its last step."""
        return self.resume.interrupted

    @property
    def seconds(self) -> float:
        """How long the run has trained, earlier sessions included."""
        return self.resume.seconds

    @property
    def place_in_rollout(self) -> int:
        """Index of the current micro-batch in its rollout."""
        per_rollout = self.args.steps_per_generation
        assert per_rollout is not None, "TRL's configuration sets it"
        return self._step % per_rollout

    # -- the rollout ---------------------------------------------------------------------------------------------------

    def _generate_single_turn(self, *args: Any, **kwargs: Any):
        adapters = adapters_of(self.accelerator, self.model)
        if getattr(self.args, "generation", "fast") == "stock" or beyond_weights(adapters):
            return super()._generate_single_turn(*args, **kwargs)
        with fast_generation(base_model(self.accelerator, self.model)):
            return super()._generate_single_turn(*args, **kwargs)

    def _generate_and_score_completions(self, inputs):
        with self.fast_update.deferring_old_logprobs():
            output = super()._generate_and_score_completions(inputs)
        self.fast_update.rollout_scored(output)
        self.reward_guards.rollout_scored(output)
        self.advantages.rollout_scored(output)
        return output

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        with self.reward_guards.noting_failures(len(prompts)):
            rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        rewards = self.reward_guards.without_failed(rewards, prompts, self._logged_next)
        self.advantages.rewards_given(rewards)
        return rewards

    def get_train_dataloader(self) -> Any:
        loader: Any = super().get_train_dataloader()
        if self.accelerator.device.type == "cpu" and hasattr(loader, "device"):
            loader.device = None  # nothing is to be moved, and accelerate would look at every value of every row
        return loader

    def _prepare_inputs(self, generation_batch):
        buffered = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        batches = self._buffered_inputs
        if not self.model.training or batches is None or batches is buffered:
            return inputs
        self.fast_update.rollout_buffered(batches)
        return batches[self.place_in_rollout]

    # -- the loss ------------------------------------------------------------------------------------------------------

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        training, metrics = self.model.training, self._logged_next
        ends_step = not training or self.accelerator.sync_gradients
        self._passing = passed = LossPass(inputs, model, training, ends_step)
        try:
            for component in self.components:
                component.loss_begins(passed, metrics)
            loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        finally:
            self._passing = None
        passed.loss = loss.detach()
        for component in self.components:
            component.loss_computed(passed, metrics)
        if ends_step:
            for component in self.components:
                component.step_ends(passed, metrics)
        return loss

    def _get_per_token_logps_and_entropies(
        self,
        model,
        input_ids,
        attention_mask,
        logits_to_keep,
        batch_size=None,
        compute_entropy=False,
        compute_aux_loss=False,
        **multimodal,
    ):
        plain = not compute_aux_loss and all(value is None for value in multimodal.values())
        forward = Forward(model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, plain)
        passed = self._passing
        if passed is not None and (passed.logprobs is not None or not self._is_policy(model, passed)):
            passed = None  # another pass of the loss's: of a reference model, or a second one
        scores = self.fast_update.score(forward, passed)
        if scores is not None:
            logprobs, entropies, router_loss = *scores, None
        else:
            logprobs, entropies, router_loss = super()._get_per_token_logps_and_entropies(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size,
                compute_entropy,
                compute_aux_loss,
                **multimodal,
            )
        if passed is not None:
            passed.logprobs = logprobs.detach()
            passed.entropies = None if entropies is None else entropies.detach()
        return logprobs, entropies, router_loss

    def _is_policy(self, model: Any, passed: LossPass) -> bool:
        return model is passed.model or model is self.model

    # -- the optimizer step and the log --------------------------------------------------------------------------------

    def _get_grad_norm(self, model, grad_norm=None):
        """The host's last call before the optimizer's step."""
        norm = super()._get_grad_norm(model, grad_norm)
        if isinstance(norm, DTensor):  # FSDP2: each process has a part of it
            norm = norm.full_tensor()
        for component in self.components:
            component.gradient_computed(model, norm, self._logged_next)
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        for component in self.components:
            component.log_begins(self._logged_next)
        super().log(logs, start_time)
        for component in self.components:
            component.log_ends(logs)

    @property
    def _logged_next(self) -> Metrics:
        return self._metrics["train" if self.model.training else "eval"]
