"""The trainer with ABC-GRPO's objective: its loss, step by step, and the model card."""

from collections.abc import Sized
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trl.trainer.grpo_config import GRPOConfig

from abcgrpo.objective import aggregate, token_loss
from abcgrpo.rules import AdaptiveRule, Rule
from abcgrpo.tokens import RatioLevel, importance_ratio
from abcgrpo.trl.adapters import adapter_settings, adapters_of
from abcgrpo.trl.batch import MULTIMODAL, Batch, loss_mask
from abcgrpo.trl.component import Component
from abcgrpo.trl.config import ABCGRPOConfig, model_name
from abcgrpo.trl.fast_trainer import FastGRPOTrainer
from abcgrpo.trl.model_card import PAPER, model_card
from abcgrpo.trl.rule_control import RuleControl


class ABCGRPOTrainer(FastGRPOTrainer):
    """Trains with ABC-GRPO's objective (paper, eq. 6 and algorithm 1), or with any other clipping rule in its place.

    Takes the host's arguments. Generation, rewards, advantages, vLLM, PEFT, DeepSpeed, FSDP, checkpoints and logging
    are the host's. Advantages follow the host's `scale_rewards`, whose default divides by the group's standard
    deviation; the paper's equation 3 is `scale_rewards="none"`. Its equation 6 is `loss_type="grpo"`.

    Raises:
        TypeError: `args` is not an `ABCGRPOConfig`.
        ValueError: a mixture-of-experts model with a router loss, which this objective has no place for.
    """

    args: ABCGRPOConfig  # pyright: ignore[reportIncompatibleVariableOverride]
    importance_sampling_level: RatioLevel
    rule: Rule
    """The clipping rule of the loss. One that adapts has its state here."""
    _tag_names = ("trl", "abc-grpo")
    _name = "ABC-GRPO"
    _paper = PAPER
    card_base: str | None = None
    """What the model card calls the base; without it the model's own name."""
    card_data: str | None = None
    """What the model card says of the data; without it the number of prompts."""

    @classmethod
    def _arguments(cls, model: Any, args: GRPOConfig | None) -> GRPOConfig:
        if args is None:
            args = ABCGRPOConfig(f"{model_name(model)}-ABC-GRPO")
        if not isinstance(args, ABCGRPOConfig):
            raise TypeError(
                f"args must be an abcgrpo.trl.ABCGRPOConfig, got {type(args).__name__}: it has the same fields as "
                f"trl.GRPOConfig, and the four thresholds"
            )
        return args

    def observers(self) -> list[Component]:
        if self.aux_loss_enabled:
            raise ValueError(
                "this model declares a router auxiliary loss (router_aux_loss_coef), which ABC-GRPO's objective does "
                "not have: set router_aux_loss_coef=0.0, or train with FastGRPOTrainer"
            )
        rule = self.args.clipping_rule
        self.rule = rule.copy() if isinstance(rule, AdaptiveRule) else rule
        control = [RuleControl(self, self.rule)] if isinstance(self.rule, AdaptiveRule) else []
        return [*super().observers(), *control]

    @property
    def trained_rule(self) -> Rule:
        return self.rule

    @property
    def loss_depends_on_cut(self) -> bool:
        """Also where the rule compares the tokens of a batch with one another."""
        return super().loss_depends_on_cut or self.args.clipping_rule.spans == "batch"

    def rows_with_signal(self, batch: Batch) -> Tensor:
        """All rows with a token where the rule has a gradient at advantage 0, too."""
        if self.args.clipping_rule.zero_advantage_is_silent:
            return super().rows_with_signal(batch)
        return loss_mask(batch).bool().any(1)

    def create_model_card(
        self, model_name: str | None = None, dataset_name: str | None = None, tags: str | list[str] | None = None
    ) -> None:
        """Write README.md into the output directory: clipping rule, base, data, settings, citation."""
        if not self.is_world_process_zero():
            return
        own = self.model.config.name_or_path
        base = self.card_base or own or "a model without a name"
        prompts = (
            f"{len(self.train_dataset)} prompts" if isinstance(self.train_dataset, Sized) else "a stream of prompts"
        )
        data = dataset_name or self.card_data or prompts
        given = [tags] if isinstance(tags, str) else tags or []
        output = Path(str(self.args.output_dir))
        on_hub = [name for name in (base, data) if name.count("/") == 1 and " " not in name and not Path(name).exists()]
        adapters = adapters_of(self.accelerator, self.model)
        settings = {name: value for each in adapters.values() for name, value in adapter_settings(each).items()}
        tags = [*self._tag_names, *given]
        card = model_card(model_name or output.name, base, data, self.args, tags, on_hub, settings)
        card.save(output / "README.md")

    # -- the loss: each step is one method, and a subclass may replace it ----------------------------------------------

    def _compute_loss(self, model, inputs) -> Tensor:
        """The micro-batch's part of the optimizer step's loss; parts add up over micro-batches and ranks."""
        mask = loss_mask(inputs)
        logprobs = self.policy_logprobs(model, inputs)
        # Absent where the rollout's policy is the current one: the ratio is then 1, and its gradient is not 0.
        old_logprobs = inputs.get("old_per_token_logps", logprobs.detach())
        loss = self.token_loss(logprobs, old_logprobs, inputs["advantages"], mask)
        loss = self.corrected_for_sampler(loss, inputs)
        if self.beta != 0.0:
            divergence = self.divergence(logprobs, old_logprobs, inputs["ref_per_token_logps"], mask)
            self.log_token_mean("kl", divergence)
            loss = loss + self.beta * divergence
        return self.reduced(loss, mask, inputs)

    def policy_logprobs(self, model: Any, inputs: Batch) -> Tensor:
        """The forward pass: log-probs of the completions' tokens, (B, T), with gradient."""
        multimodal: dict[str, Any] = {name: inputs.get(name) for name in MULTIMODAL}
        logprobs, _, _ = self._get_per_token_logps_and_entropies(
            model,
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
            torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
            inputs["completion_ids"].size(1),
            compute_entropy=True,
            **multimodal,
        )
        return logprobs

    def token_loss(self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
        """The clipping rule: −surrogate of each token, with `abc_grpo` −r̃·Â (algorithm 1, line 9); (B, T).

        Args:
            logprobs: (B, T), with gradient.
            old_logprobs: (B, T), of the policy that made the rollout.
            advantages: (B,) or (B, T).
            mask: (B, T), 1 where a token counts.
        """
        level = self.importance_sampling_level
        return token_loss(logprobs, old_logprobs, advantages, self.rule, mask, level)

    def corrected_for_sampler(self, loss: Tensor, inputs: Batch) -> Tensor:
        """The token losses times the trainer's over the sampler's probability, where vLLM samples; (B, T)."""
        if self.use_vllm and self.vllm_importance_sampling_correction:
            return loss * inputs["importance_sampling_ratio"]
        return loss

    def divergence(self, logprobs: Tensor, old_logprobs: Tensor, reference_logprobs: Tensor, mask: Tensor) -> Tensor:
        """The KL term before `beta`, for each token; (B, T). Called only where `beta` is not 0."""
        divergence = reference_divergence(logprobs, reference_logprobs)
        if self.args.use_bias_correction_kl:
            divergence = divergence * importance_ratio(logprobs, old_logprobs, mask, self.importance_sampling_level)
        return divergence

    def reduced(self, loss: Tensor, mask: Tensor, inputs: Batch) -> Tensor:
        """Token losses (B, T) → one number: the host's reductions, by its names for them, with its normalisers."""
        accumulation = self.current_gradient_accumulation_steps if self.model.training else 1
        if self.loss_type == "grpo":
            return aggregate(loss, mask, "sequence_mean", normalizer=len(loss) * accumulation)
        if self.loss_type == "dr_grpo":
            length = self.max_completion_length
            return aggregate(loss, mask, "dr_grpo", max_length=length, normalizer=len(loss) * accumulation)
        if self.loss_type == "dapo":
            # The count spans the generation batch on all ranks; a rank's part of one optimizer step is wanted. DDP
            # averages over ranks, which is why the count is per rank.
            tokens = inputs["num_items_in_batch"].clamp(min=1) / self.accelerator.num_processes
            if self.model.training:
                tokens = tokens * accumulation / self.args.steps_per_generation
            return aggregate(loss, mask, "token_mean", normalizer=tokens)
        return aggregate(loss, mask, "token_mean") / accumulation  # bnpo: normalised by the micro-batch's own tokens


def reference_divergence(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """Schulman's k3 estimate of KL(policy ‖ reference) per token: exp(d) − d − 1, d = reference − policy; (B, T)."""
    difference = reference_logprobs - logprobs
    return difference.exp() - difference - 1
