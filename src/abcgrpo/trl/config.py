"""TRL's configuration with a clipping rule, advantages and the guards of a long run; the options that are refused."""

import json
from dataclasses import dataclass, field, fields
from typing import Any

from trl.trainer.grpo_config import GRPOConfig

from abcgrpo.advantages import Estimator, resolve_estimator
from abcgrpo.errors import unknown_choice
from abcgrpo.rules import AdaptiveRule, Rule, resolve_rule
from abcgrpo.rules.abc_grpo import Boundaries
from abcgrpo.shadow import DEFAULT_SHADOWS

SUPPORTED_LOSS_TYPES = ("grpo", "bnpo", "dapo", "dr_grpo")

CHOICES = {
    "loss_type": (*SUPPORTED_LOSS_TYPES, "cispo", "sapo", "luspo", "vespo"),
    "importance_sampling_level": ("token", "sequence"),
    "scale_rewards": ("group", "batch", "none", True, False),
    "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
    "vllm_mode": ("server", "colocate"),
    "vllm_importance_sampling_mode": ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask"),
    "update": ("fast", "stock"),
    "generation": ("fast", "stock"),
    "vllm_dtype": ("auto", "bfloat16", "float16", "float32"),
}
"""Options with a fixed set of values, TRL's and ours. TRL reads its own in the middle of training, or takes any other
value without a word."""

THRESHOLDS = tuple(item.name for item in fields(Boundaries))

REFUSED_OPTIONS = {
    "epsilon": "set eps_neg_low (and eps_pos_high) instead",
    "epsilon_high": "set eps_pos_high instead",
    "delta": "set eps_neg_high = delta - 1 instead",
    "off_policy_mask_threshold": "eps_neg_high has the same purpose; for the mask, train with trl.GRPOTrainer",
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
"""TRL's loss options that this objective does not have, each with what to do instead. Left at TRL's default they are no
statement; set to anything else they are an error, because the trainer would not follow them."""

MEANS_OFF = {"router_aux_loss_coef": (0.0,)}
"""Values beside TRL's default that ask for nothing."""


@dataclass
class FastGRPOConfig(GRPOConfig):
    """`trl.GRPOConfig` plus `update`, `generation`, `vllm_dtype`, `advantages` and what a long run needs to survive;
    all other fields and defaults are TRL's.

    Raises:
        ValueError: a value that an option of `CHOICES` does not have, an unknown estimator of advantages, one that
            conflicts with TRL's `scale_rewards` or `multi_objective_aggregation`, a `vllm_dtype` that nothing would
            follow, or an invalid limit of a guard.
    """

    advantages: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": "How advantages are estimated from rewards: a name (`group`), a mapping of `name` and parameters, "
            "or the import path of your own. Default: TRL's computation, as `scale_rewards` says."
        },
    )

    update: str = field(
        default="fast",
        metadata={"help": "How the update phase is computed: `fast` (the same gradient with less work) or `stock`."},
    )
    update_entropy: bool = field(
        default=True,
        metadata={
            "help": "Under `fast`: run zero-advantage rows forward in the steps that are logged, so that `entropy` "
            "covers all tokens."
        },
    )
    generation: str = field(
        default="fast",
        metadata={
            "help": "How answers are generated on a CPU: `fast` (the same distribution with less work) or "
            "`stock` (transformers' own loop, and its use of random numbers)."
        },
    )

    vllm_dtype: str = field(
        default="auto",
        metadata={
            "help": "dtype of the colocated vLLM: `auto` (that of the trainer's forward pass), "
            "`bfloat16`, `float16` or `float32`. A vLLM server takes `--dtype` where it is started."
        },
    )

    shadow_rules: list[str] = field(
        default_factory=lambda: list(DEFAULT_SHADOWS),
        metadata={
            "help": "Clipping rules that are measured beside the trained one: how much of the gradient each would have "
            "removed (`shadow/…`). Names or import paths. An empty list: none."
        },
    )

    record_tokens: int = field(
        default=4,
        metadata={
            "help": "Responses of each logged step that are recorded token by token, each token with its advantage and "
            "whether it was clipped, in output_dir/tokens.jsonl. 0: none."
        },
    )

    resume_minutes: float = field(
        default=10.0,
        metadata={"help": "Minutes between two states to resume from in output_dir/resume. 0: every step. inf: none."},
    )
    resume_as_another_run: bool = field(
        default=False,
        metadata={
            "help": "Resume from a state of other settings, or from a checkpoint of TRL's own trainer, instead of "
            "refusing it. Weights, optimizer, random states and the position in the data are kept; the rollout is "
            "drawn again."
        },
    )
    max_failed_rewards: float = field(
        default=0.5,
        metadata={"help": "Share of a rollout's rewards that may fail; with more the run stops."},
    )
    max_skipped_in_a_row: int = field(
        default=10,
        metadata={
            "help": "Number of optimizer steps skipped in a row for non-finite numbers after which the run stops."
        },
    )
    warn_ratio_above: float = field(default=100.0, metadata={"help": "Warn if `ratio/max` is above this."})
    warn_mismatch_above: float = field(
        default=0.1,
        metadata={"help": "Warn if the mean |sampler's log-prob − trainer's| of a rollout is above this, in nats."},
    )
    warn_kl_above: float = field(default=1.0, metadata={"help": "Warn if `kl` is above this, in nats per token."})

    def __post_init__(self) -> None:
        self._check_choices()
        if self.vllm_dtype != "auto" and not (self.use_vllm and self.vllm_mode == "colocate"):
            raise ValueError(
                f"vllm_dtype={self.vllm_dtype!r} has no effect without use_vllm and vllm_mode='colocate': a vLLM "
                f"server takes --dtype where it is started, and transformers samples in the trainer's numbers."
            )
        self._check_guards()
        _ = self.shadows
        self.advantages = self._record("advantages", resolve_estimator)
        super().__post_init__()
        for name in ("scale_rewards", "multi_objective_aggregation") if self.advantages else ():
            if getattr(self, name) != getattr(GRPOConfig, name):
                raise ValueError(
                    f"{name}={getattr(self, name)!r} has no effect with advantages={self.advantages!r}, which says by "
                    f"itself how rewards are scaled: leave one of the two out."
                )

    @property
    def shadows(self) -> dict[str, Rule]:
        """The rules that are measured beside the trained one, by name."""
        rules = {rule.name: rule for rule in (resolve_rule(name, "shadow_rules") for name in self.shadow_rules)}
        for name, rule in rules.items():
            if rule.spans == "batch" or isinstance(rule, AdaptiveRule):
                raise ValueError(
                    f"shadow_rules: {name} cannot be measured beside another rule: its weights depend on how a step is "
                    f"cut into micro-batches, or on a state that only its own training moves. Leave it out."
                )
        return rules

    @property
    def estimator(self) -> Estimator | None:
        """The estimator of advantages; None if they are TRL's."""
        return None if self.advantages is None else self._object("advantages", resolve_estimator)

    def _record(self, name: str, resolve: Any) -> dict[str, Any] | None:
        """Name and parameters of what the field `name` names; the object itself is kept beside the fields."""
        given = getattr(self, name)
        if given is None:
            return None
        if isinstance(given, str) and given.lstrip().startswith("{"):  # from a command line
            given = json.loads(given)
        self.__dict__.setdefault("_named", {})[name] = found = resolve(given, name)
        return found.to_dict()

    def _object(self, name: str, resolve: Any) -> Any:
        objects = self.__dict__.setdefault("_named", {})
        if name not in objects:  # these arguments were unpickled
            objects[name] = resolve(getattr(self, name), name)
        return objects[name]

    def __getstate__(self) -> dict[str, Any]:
        """Records and checkpoints hold names and parameters, not objects."""
        return {name: value for name, value in self.__dict__.items() if name != "_named"}

    def _check_choices(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown_choice(name, getattr(self, name), known)

    def _check_guards(self) -> None:
        if self.record_tokens < 0:
            raise ValueError(f"record_tokens is a number of responses, 0 or more, got {self.record_tokens!r}")
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
    """`FastGRPOConfig` plus the clipping rule: `rule`, or the four thresholds of ABC-GRPO.

    `rule` is a name (`cispo`), a mapping of `name` and parameters (`{"name": "clip_higher", "high": 0.28}`), the import
    path of your own (`my_rules.Mine`), or a `Rule`. Without it the rule is `abc_grpo` with the four thresholds. A rule
    whose ratio is one per response (`gspo`) sets `importance_sampling_level`.

    Raises:
        ValueError: an invalid threshold, an unknown rule, a rule beside thresholds or another
            `importance_sampling_level`, or a loss option of TRL that this objective has no place for (see
            `REFUSED_OPTIONS`); the message names the option and what to use instead.
    """

    rule: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": "The clipping rule: a name, a mapping of `name` and parameters, or the import path of your own. "
            "Default: `abc_grpo` with the four thresholds."
        },
    )
    eps_pos_high: float | None = field(
        default=None,
        metadata={"help": "ε1: where Â > 0 the ratio is clipped above 1 + ε1 (Q1). Default 0.2; `inf` opens it."},
    )
    eps_pos_low: float | None = field(
        default=None,
        metadata={"help": "ε2: where Â > 0 the ratio is clipped below 1 − ε2 (Q2). Default 0.2; `inf` opens it."},
    )
    eps_neg_high: float | None = field(
        default=None,
        metadata={"help": "ε3: where Â < 0 the ratio is clipped above 1 + ε3 (Q4). Default 0.2; `inf` opens it."},
    )
    eps_neg_low: float | None = field(
        default=None,
        metadata={"help": "ε4: where Â < 0 the ratio is clipped below 1 − ε4 (Q3). Default 0.2; `inf` opens it."},
    )

    def __post_init__(self) -> None:
        self._check_choices()  # before the rule sets one of them
        self._choose_rule()
        if self.loss_type not in SUPPORTED_LOSS_TYPES:
            raise ValueError(
                f"loss_type={self.loss_type!r} is another objective, not a reduction of this one. ABC-GRPO takes "
                f"{', '.join(SUPPORTED_LOSS_TYPES)}; for {self.loss_type!r} train with trl.GRPOTrainer or "
                f"FastGRPOTrainer (in a recipe: objective: trl)."
            )
        default_of = {option.name: option.default for option in fields(GRPOConfig)}
        for name, advice in REFUSED_OPTIONS.items():
            if getattr(self, name) not in (default_of[name], *MEANS_OFF.get(name, ())):
                raise ValueError(f"{name}={getattr(self, name)!r} has no effect on ABC-GRPO's loss: {advice}.")
        super().__post_init__()

    @property
    def clipping_rule(self) -> Rule:
        """The rule that the loss is made with, in the state of the beginning."""
        if self.rule is None:
            return Boundaries(**{name: getattr(self, name) for name in THRESHOLDS})
        return self._object("rule", resolve_rule)

    def _choose_rule(self) -> None:
        given = {name: getattr(self, name) for name in THRESHOLDS if getattr(self, name) is not None}
        if self.rule is None:
            for name, value in vars(Boundaries(**given)).items():
                setattr(self, name, value)
            return
        if given:
            listed = ", ".join(f"{name}={value!r}" for name, value in given.items())
            raise ValueError(
                f"rule={self.rule!r} and {listed} are two clipping rules: the four thresholds are the short form of "
                f"rule={{'name': 'abc_grpo', ...}}. Leave one of the two out."
            )
        self.rule = self._record("rule", resolve_rule)
        level = self.clipping_rule.level
        if level == "token" and self.importance_sampling_level == "sequence":
            raise ValueError(
                f"importance_sampling_level='sequence' has no effect with rule={self.rule!r}, whose ratio is one per "
                f"token: leave one of the two out, or take a rule of sequences, such as gspo."
            )
        self.importance_sampling_level = level


def model_name(model: Any) -> str:
    """The last part of a model's name or path."""
    name = model if isinstance(model, str) else model.config.name_or_path
    return name.rstrip("/").split("/")[-1]
