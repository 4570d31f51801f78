"""Which parts of the fast update a run can have, and for each that it cannot, why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from accelerate import Accelerator
from datasets import IterableDataset
from trl.trainer.grpo_trainer import GRPOTrainer

from abcgrpo.dropout import active_dropout
from abcgrpo.trl.adapters import adapters_of
from abcgrpo.trl.update.choice import choose_layout
from abcgrpo.trl.update.head import why_fused
from abcgrpo.trl.update.layout import Layout


@dataclass(frozen=True)
class Parts:
    """The parts of the update, each on or off. All of them leave the gradient as it is."""

    skip: bool = False
    """Zero-advantage rows take no part in the forward and backward pass of the loss."""
    defer: bool = False
    """The pass for the old log-probs waits for the rewards. It leaves out zero-advantage rows (with `skip`) and the
    optimizer step right after the rollout (with `whole_steps`), whose ratio is 1 by definition."""
    move: bool = False
    """Rows change micro-batches, and ranks, within an optimizer step: equal work for all, or rows of equal length."""
    layout: Layout = "stock"
    keep_logits: bool = False
    """Log-probs come from the logits of the scored tokens where TRL's fused head would save nothing; see `head`."""
    whole_steps: bool = False
    """A rollout is cut into whole optimizer steps, and in the first of them the ratio is 1."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a part is off, or why the layout is not the best one."""

    def describe(self) -> str:
        """One line for the log."""
        first = self.defer and self.whole_steps
        states = {
            "zero-advantage rows skipped": self.skip,
            "old log-probs after the rewards": self.defer,
            "no old log-probs where the ratio is 1": first,
            "rows moved within an optimizer step and between ranks": self.move,
            f"{self.layout} layout": self.layout != "stock",
            "logits computed once": self.keep_logits,
        }
        active = "; ".join(name for name, on in states.items() if on) or "nothing"
        inactive = "; ".join(f"{part}: {why}" for part, why in self.reasons.items())
        return f"Fast update: {active}." + (f" Not active: {inactive}." if inactive else "")


def base_model(accelerator: Accelerator, model: Any) -> Any:
    """The model without the wrappers of accelerate and PEFT."""
    unwrapped = accelerator.unwrap_model(model)
    return unwrapped.get_base_model() if hasattr(unwrapped, "get_base_model") else unwrapped


def choose_parts(trainer: GRPOTrainer, *, depends_on_cut: bool) -> Parts:
    """The parts that are exact for this trainer's settings.

    Args:
        trainer: after its construction.
        depends_on_cut: the loss of an optimizer step changes with the way it is cut into micro-batches.
    """
    parallelism = getattr(trainer.accelerator, "parallelism_config", None)
    if parallelism is not None and parallelism.non_data_parallel_size > 1:
        return Parts(reasons={"any": "ranks share rows (tensor, context or sequence parallelism)"})
    model, autocast = base_model(trainer.accelerator, trainer.model), trainer.args.bf16 or trainer.args.fp16
    adapters = adapters_of(trainer.accelerator, trainer.model)
    layout, layout_reason = choose_layout(model, autocast, adapters)
    if layout == "packed" and trainer.use_transformers_continuous_batching:
        layout, layout_reason = "flushed", "transformers' continuous batching needs an attention of its own"
    whole_steps, part_steps = _whole_steps(trainer)
    dropout = f"{found}, so two passes of the same weights differ" if (found := active_dropout(model)) else ""
    reasons = {
        "skipping": _not_per_row(trainer)
        or ("beta ≠ 0: the KL term has a gradient at every row" if trainer.beta else ""),
        "deferring": _fixed_order(trainer),
        "first step": _fixed_order(trainer) or part_steps or dropout,
        "moving": _not_per_row(trainer)
        or part_steps
        or ("the loss depends on the cut into micro-batches" if depends_on_cut else ""),
        "layout": layout_reason,
        "logits": _fused_head(trainer, layout, autocast) or why_fused(model),
    }
    return Parts(
        skip=not reasons["skipping"],
        defer=not reasons["deferring"],
        move=not reasons["moving"],
        layout=layout,
        keep_logits=not reasons["logits"],
        whole_steps=whole_steps and not dropout,
        reasons={part: why for part, why in reasons.items() if why},
    )


def _not_per_row(trainer: GRPOTrainer) -> str:
    """A term of the loss that is not a sum over rows of advantage × something of that row alone."""
    if trainer._entropy_bonus_enabled:
        return "the entropy bonus is a mean over the tokens of a micro-batch, whatever their advantage"
    if trainer.aux_loss_enabled:
        return "the router's auxiliary loss is a mean over the tokens of a micro-batch, whatever their advantage"
    if trainer.top_entropy_quantile < 1.0:
        return "top_entropy_quantile compares the tokens of a micro-batch with one another"
    return ""


def _fixed_order(trainer: GRPOTrainer) -> str:
    if trainer.use_vllm and trainer.vllm_importance_sampling_correction:
        return "vLLM's importance correction needs the old log-probs of all rows first, in TRL's order of passes"
    if trainer.beta:
        return "beta ≠ 0: TRL's order of passes is kept, the reference pass follows the old one"
    return ""


def _fused_head(trainer: GRPOTrainer, layout: Layout, autocast: bool) -> str:
    if layout != "packed":
        return "rows are not packed"
    if autocast:
        return "TRL's fused head is used in 16-bit numbers"
    return "the entropy bonus needs entropies with a gradient" if trainer._entropy_bonus_enabled else ""


def _whole_steps(trainer: GRPOTrainer) -> tuple[bool, str]:
    args: Any = trainer.args
    if args.steps_per_generation % args.gradient_accumulation_steps:
        return False, "steps_per_generation is no multiple of gradient_accumulation_steps"
    if isinstance(trainer.train_dataset, IterableDataset):
        return False, "an iterable dataset may end within an optimizer step"
    return True, ""
