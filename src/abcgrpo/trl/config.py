"""TRL's configuration with the four thresholds and the guards of a long run, and what of TRL's options is refused."""

from dataclasses import dataclass, field, fields
from typing import Any

from trl.trainer.grpo_config import GRPOConfig

from abcgrpo.boundaries import Boundaries

SUPPORTED_LOSS_TYPES = ("grpo", "bnpo", "dapo", "dr_grpo")

REFUSED_OPTIONS = {
    "epsilon": "set eps_neg_low (and eps_pos_high) instead",
    "epsilon_high": "set eps_pos_high instead",
    "delta": "set eps_neg_high = delta - 1 instead",
    "off_policy_mask_threshold": "eps_neg_high bounds what it is meant to bound; for it, train with trl.GRPOTrainer",
    "top_entropy_quantile": "the loss covers every token; to restrict it, train with trl.GRPOTrainer",
    "entropy_coef": "the four bounds are the means against entropy collapse; for a bonus, train with trl.GRPOTrainer",
    "use_adaptive_entropy": "see entropy_coef",
    "entropy_coef_min": "it belongs to use_adaptive_entropy, which is refused",
    "entropy_coef_max": "it belongs to use_adaptive_entropy, which is refused",
    "entropy_coef_delta": "it belongs to use_adaptive_entropy, which is refused",
    "entropy_target": "it belongs to use_adaptive_entropy, which is refused",
    "router_aux_loss_coef": "mixture-of-experts balancing is not part of this loss; train with trl.GRPOTrainer",
    "sapo_temperature_neg": "it belongs to loss_type='sapo'",
    "sapo_temperature_pos": "it belongs to loss_type='sapo'",
    "vespo_k_pos": "it belongs to loss_type='vespo'",
    "vespo_lambda_pos": "it belongs to loss_type='vespo'",
    "vespo_k_neg": "it belongs to loss_type='vespo'",
    "vespo_lambda_neg": "it belongs to loss_type='vespo'",
}
"""TRL's loss options that ABC-GRPO does not have, each with what to do instead. Left at TRL's default they are no
statement; set to anything else they are an error, because the trainer would not follow them."""


@dataclass
class FastGRPOConfig(GRPOConfig):
    """`trl.GRPOConfig` plus `update`, `generation` and what a long run needs to survive; all else is TRL's.

    Raises:
        ValueError: an unknown `update` or `generation`, or a guard's limit that is none.
    """

    update: str = field(
        default="fast",
        metadata={"help": "How the update phase is computed: `fast` (the same gradient with less work) or `stock`."},
    )
    update_entropy: bool = field(
        default=True,
        metadata={
            "help": "Under `fast`: run the rows without signal forward in the steps that are logged, so that `entropy` "
            "covers all tokens."
        },
    )
    generation: str = field(
        default="fast",
        metadata={
            "help": "How answers are drawn from a model on a CPU: `fast` (the same distribution with less work) or "
            "`stock` (transformers' own loop, and its use of random numbers)."
        },
    )

    resume_minutes: float = field(
        default=10.0,
        metadata={"help": "Minutes between two states to resume from in output_dir/resume. 0: every step. inf: none."},
    )
    max_failed_rewards: float = field(
        default=0.5,
        metadata={"help": "Share of a rollout's rewards that may fail; past it the run stops."},
    )
    max_skipped_in_a_row: int = field(
        default=10,
        metadata={"help": "So many skipped optimizer steps in a row, for numbers that are not finite, stop the run."},
    )
    warn_ratio_above: float = field(default=100.0, metadata={"help": "Warn when `ratio/max` is above."})
    warn_mismatch_above: float = field(
        default=0.1,
        metadata={"help": "Warn when the mean |sampler's log-prob − trainer's| of a rollout is above, in nats."},
    )
    warn_kl_above: float = field(default=1.0, metadata={"help": "Warn when `kl` is above, in nats per token."})

    def __post_init__(self) -> None:
        if self.update not in ("fast", "stock"):
            raise ValueError(f"update must be 'fast' or 'stock', got {self.update!r}")
        if self.generation not in ("fast", "stock"):
            raise ValueError(f"generation must be 'fast' or 'stock', got {self.generation!r}")
        self._check_guards()
        super().__post_init__()

    def _check_guards(self) -> None:
        if not self.resume_minutes >= 0:
            raise ValueError(f"resume_minutes must be a number ≥ 0 or inf, got {self.resume_minutes!r}")
        if not 0 <= self.max_failed_rewards <= 1:
            raise ValueError(f"max_failed_rewards is a share, from 0 to 1, got {self.max_failed_rewards!r}")
        if self.max_skipped_in_a_row < 1:
            raise ValueError(f"max_skipped_in_a_row must be at least 1, got {self.max_skipped_in_a_row!r}")


def option(args: GRPOConfig, name: str) -> Any:
    """An option of `FastGRPOConfig`; its default where a trainer was given a plain `trl.GRPOConfig`."""
    return getattr(args, name, getattr(FastGRPOConfig, name))


@dataclass
class ABCGRPOConfig(FastGRPOConfig):
    """`FastGRPOConfig` plus the four thresholds of ABC-GRPO.

    Raises:
        ValueError: a threshold that is none, or a loss option of TRL that this objective has no place for (see
            `REFUSED_OPTIONS`); the message names the option and what to use instead.
    """

    eps_pos_high: float = field(
        default=0.2,
        metadata={"help": "ε1: where Â > 0 the ratio is clipped above 1 + ε1 (Q1). `inf` opens it."},
    )
    eps_pos_low: float = field(
        default=0.2,
        metadata={"help": "ε2: where Â > 0 the ratio is clipped below 1 − ε2 (Q2). `inf` opens it."},
    )
    eps_neg_high: float = field(
        default=0.2,
        metadata={"help": "ε3: where Â < 0 the ratio is clipped above 1 + ε3 (Q4). `inf` opens it."},
    )
    eps_neg_low: float = field(
        default=0.2,
        metadata={"help": "ε4: where Â < 0 the ratio is clipped below 1 − ε4 (Q3). `inf` opens it."},
    )

    def __post_init__(self) -> None:
        _ = self.boundaries
        if self.loss_type not in SUPPORTED_LOSS_TYPES:
            raise ValueError(
                f"loss_type={self.loss_type!r} is another objective, not a reduction of this one. ABC-GRPO takes "
                f"{', '.join(SUPPORTED_LOSS_TYPES)}; for {self.loss_type!r} train with trl.GRPOTrainer or "
                f"FastGRPOTrainer (in a recipe: objective: trl)."
            )
        default_of = {option.name: option.default for option in fields(GRPOConfig)}
        for name, advice in REFUSED_OPTIONS.items():
            if getattr(self, name) != default_of[name]:
                raise ValueError(f"{name}={getattr(self, name)!r} has no effect on ABC-GRPO's loss: {advice}.")
        super().__post_init__()

    @property
    def boundaries(self) -> Boundaries:
        """The four thresholds as the objective takes them."""
        return Boundaries(self.eps_pos_high, self.eps_pos_low, self.eps_neg_high, self.eps_neg_low)
