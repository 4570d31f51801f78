"""The trainers: TRL's with the fast update, metrics by quadrant, exact resume and guards; and that one with the
four-boundary loss.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from abcgrpo.objective import aggregate, token_loss
from abcgrpo.tokens import importance_ratio
from abcgrpo.trl.config import ABCGRPOConfig
from abcgrpo.trl.model_card import PAPER, model_card
from abcgrpo.trl.resume import ExactResume
from abcgrpo.trl.rewards import GuardedRewards
from abcgrpo.trl.update.parts import MULTIMODAL
from abcgrpo.trl.update.rows import loss_mask


class FastGRPOTrainer(GuardedRewards, ExactResume):
    """`trl.GRPOTrainer` with TRL's own losses, plus the fast update phase, the metrics by quadrant, exact resume, and
    guards against bad rewards and bad numbers.
    """


class ABCGRPOTrainer(FastGRPOTrainer):
    """Trains with ABC-GRPO's objective (paper, eq. 6 and algorithm 1) where `trl.GRPOTrainer` trains with GRPO's.

    Takes the host's arguments. Generation, rewards, advantages, vLLM, PEFT, DeepSpeed, FSDP, checkpoints and logging
    are the host's. Advantages follow the host's `scale_rewards`, whose default divides by the group's standard
    deviation; the paper's equation 3 is `scale_rewards="none"`. Its equation 6 is `loss_type="grpo"`.

    Raises:
        TypeError: `args` is not an `ABCGRPOConfig`.
        ValueError: a mixture-of-experts model with a router loss, which this objective has no place for.
    """

    args: ABCGRPOConfig  # pyright: ignore[reportIncompatibleVariableOverride]
    _tag_names = ("trl", "abc-grpo")
    _name = "ABC-GRPO"
    _paper = PAPER
    card_base: str | None = None
    """What the model card calls the base; without it the model's own name."""
    card_data: str | None = None
    """What the model card says of the data; without it the number of prompts."""

    def __init__(self, model, reward_funcs=None, args: ABCGRPOConfig | None = None, **kwargs: Any) -> None:
        if args is None:
            name = model if isinstance(model, str) else model.config.name_or_path
            args = ABCGRPOConfig(f"{name.rstrip('/').split('/')[-1]}-ABC-GRPO")
        if not isinstance(args, ABCGRPOConfig):
            raise TypeError(
                f"args must be an abcgrpo.trl.ABCGRPOConfig, got {type(args).__name__}: it has the same fields as "
                f"trl.GRPOConfig, and the four thresholds"
            )
        super().__init__(model=model, reward_funcs=reward_funcs, args=args, **kwargs)
        if self.aux_loss_enabled:
            raise ValueError(
                "this model declares a router auxiliary loss (router_aux_loss_coef), which ABC-GRPO's objective does "
                "not have: set the model configuration's router_aux_loss_coef to 0, or train with trl.GRPOTrainer"
            )

    def create_model_card(
        self, model_name: str | None = None, dataset_name: str | None = None, tags: str | list[str] | None = None
    ) -> None:
        """Write README.md into the output directory: method, boundaries, base, data, settings, citation."""
        if not self.is_world_process_zero():
            return
        own = self.model.config.name_or_path
        base = self.card_base or own or "a model without a name"
        data = dataset_name or self.card_data or f"{len(self.train_dataset)} prompts"  # pyright: ignore[reportArgumentType]
        given = [tags] if isinstance(tags, str) else tags or []
        output = Path(str(self.args.output_dir))
        on_hub = [name for name in (base, data) if name.count("/") == 1 and " " not in name and not Path(name).exists()]
        card = model_card(model_name or output.name, base, data, self.args, [*self._tag_names, *given], on_hub)
        card.save(output / "README.md")

    def _compute_loss(self, model, inputs) -> Tensor:
        """The micro-batch's part of the optimizer step's loss; parts add up over micro-batches and ranks."""
        mask = loss_mask(inputs)
        logprobs, _, _ = self._get_per_token_logps_and_entropies(
            model,
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
            torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
            inputs["completion_ids"].size(1),
            compute_entropy=True,
            **{name: inputs.get(name) for name in MULTIMODAL},
        )
        # Absent where the rollout's policy is the current one: the ratio is then 1, and its gradient is not 0.
        old_logprobs = inputs.get("old_per_token_logps", logprobs.detach())
        level = self.importance_sampling_level
        loss = token_loss(logprobs, old_logprobs, inputs["advantages"], self.args.boundaries, mask, level)
        if self.use_vllm and self.vllm_importance_sampling_correction:
            loss = loss * inputs["importance_sampling_ratio"]
        if self.beta != 0.0:
            divergence = reference_divergence(logprobs, inputs["ref_per_token_logps"])
            if self.args.use_bias_correction_kl:
                divergence = divergence * importance_ratio(logprobs, old_logprobs, mask, level)
            loss = loss + self.beta * divergence
            self._add_tokens("kl", divergence, mask)
        return self._reduce(loss, mask, inputs)

    def _reduce(self, loss: Tensor, mask: Tensor, inputs: dict[str, Any]) -> Tensor:
        """The host's reductions, by its names for them, with its normalisers."""
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
