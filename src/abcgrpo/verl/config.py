"""verl's policy-loss configuration with a clipping rule."""
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false
# verl is not in the environment of the type checker.

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from verl.workers.config import ActorConfig, PolicyLossConfig

from abcgrpo.rules import AdaptiveRule, Rule, resolve_rule
from abcgrpo.rules.abc_grpo import Boundaries
from abcgrpo.shadow import DEFAULT_SHADOWS, ShadowRules

LOSS_NAME = "abc_grpo"
"""What `actor_rollout_ref.actor.policy_loss.loss_mode` calls this loss, whichever rule it clips by."""

WHERE = "actor_rollout_ref.actor.policy_loss"

OTHER_LOSSES_OPTIONS = {
    "clip_ratio": "it sets verl's own clipping; set eps_pos_high and eps_neg_low",
    "clip_ratio_low": "set eps_neg_low",
    "clip_ratio_high": "set eps_pos_high",
    "clip_ratio_c": "set eps_neg_high = clip_ratio_c - 1",
    "tau_pos": "it belongs to loss_mode=sapo",
    "tau_neg": "it belongs to loss_mode=sapo",
    "clip_cov_ratio": "it belongs to loss_mode=clip_cov",
    "clip_cov_lb": "it belongs to loss_mode=clip_cov",
    "clip_cov_ub": "it belongs to loss_mode=clip_cov",
    "kl_cov_ratio": "it belongs to loss_mode=kl_cov",
    "ppo_kl_coef": "it belongs to loss_mode=kl_cov",
    "dro_beta": "it belongs to loss_mode=dro",
}
"""verl's options of other policy losses, each with what to do instead. Left at verl's default they are no statement;
set to anything else they are an error, because this loss does not follow them."""


@dataclass
class ABCGRPOPolicyLossConfig(PolicyLossConfig):
    """`verl.workers.config.PolicyLossConfig` plus a clipping rule; frozen and closed, as that is.

    Selected by `actor_rollout_ref.actor.policy_loss._target_=abcgrpo.verl.ABCGRPOPolicyLossConfig`. Every process that
    builds or receives it so imports `abcgrpo.verl`, and fails there and then where that is impossible.

    Raises:
        ValueError: a rule that there is not, that adapts or does not fit its parameters, a rule beside thresholds, a
            `loss_mode` that is not `abc_grpo`, or an option of another policy loss; the message names the option.
    """

    loss_mode: str = LOSS_NAME
    rule: Any = None
    """A name, an import path, or a mapping of `name` and parameters. Default: `abc_grpo`, whose thresholds are:"""
    eps_pos_high: float = 0.2
    """ε1: where Â > 0 the ratio is clipped above 1 + ε1 (Q1). `inf` opens it."""
    eps_pos_low: float = 0.2
    """ε2: where Â > 0 the ratio is clipped below 1 − ε2 (Q2). `inf` opens it."""
    eps_neg_high: float = 0.2
    """ε3: where Â < 0 the ratio is clipped above 1 + ε3 (Q4). `inf` opens it."""
    eps_neg_low: float = 0.2
    """ε4: where Â < 0 the ratio is clipped below 1 − ε4 (Q3). `inf` opens it."""

    shadow_rules: Any = DEFAULT_SHADOWS
    """Rules that are measured beside the trained one, by name (`abcgrpo.shadow`). An empty list: none."""

    def __post_init__(self) -> None:
        if self.loss_mode != LOSS_NAME:
            raise ValueError(
                f"policy_loss.loss_mode={self.loss_mode!r} would leave the rule and the four thresholds without "
                f"effect. With {type(self).__name__} set {WHERE}.loss_mode={LOSS_NAME}."
            )
        _ = self.clipping_rule, self.shadows
        refuse_options_of_other_losses(self, PolicyLossConfig, WHERE)

    @property
    def clipping_rule(self) -> Rule:
        """What the loss clips by."""
        thresholds = Boundaries(self.eps_pos_high, self.eps_pos_low, self.eps_neg_high, self.eps_neg_low)
        if self.rule is None:
            return thresholds
        if thresholds != Boundaries():
            raise ValueError(
                f"{WHERE}: a rule and thresholds are both set. The thresholds are the short form of "
                "rule={name: abc_grpo, eps_pos_high: …}: set one of the two."
            )
        rule = resolve_rule(_plain(self.rule), f"{WHERE}.rule")
        if isinstance(rule, AdaptiveRule):
            raise ValueError(
                f"{WHERE}.rule: the thresholds of {rule.name} move once per optimizer step, by sums over all of its "
                "micro-batches and ranks. verl calls a policy loss for each micro-batch, tells it neither where a step "
                "ends nor which ranks to add over, and saves no state of it. Train this rule with TRL."
            )
        return rule

    @property
    def shadows(self) -> ShadowRules | None:
        """The rules measured beside it."""
        if not self.shadow_rules:
            return None
        others = [resolve_rule(_plain(given), f"{WHERE}.shadow_rules") for given in self.shadow_rules]
        return ShadowRules(self.clipping_rule, {rule.name: rule for rule in others})


def _plain(given: Any) -> Any:
    """A rule as verl's configuration holds it, without OmegaConf's containers."""
    return dict(given) if isinstance(given, Mapping) else given


def loss_config(actor: ActorConfig) -> ABCGRPOPolicyLossConfig:
    """The rule that an actor's configuration trains with, and what is measured beside it.

    Raises:
        ValueError: it does not hold them, or it sets an option of another policy loss.
    """
    if not isinstance(actor.policy_loss, ABCGRPOPolicyLossConfig):
        raise ValueError(
            f"loss_mode={LOSS_NAME} takes its rule from abcgrpo.verl.ABCGRPOPolicyLossConfig, not from "
            f"{type(actor.policy_loss).__name__}: set {WHERE}._target_=abcgrpo.verl.ABCGRPOPolicyLossConfig."
        )
    refuse_options_of_other_losses(actor, ActorConfig, "actor_rollout_ref.actor")
    return actor.policy_loss


def refuse_options_of_other_losses(config: ActorConfig | PolicyLossConfig, host: type, where: str) -> None:
    """Nothing, where `config` leaves the options of other losses at the defaults of verl's class `host`.

    Raises:
        ValueError: it does not; the message names the first such option.
    """
    for option in fields(host):
        advice = OTHER_LOSSES_OPTIONS.get(option.name)
        value = getattr(config, option.name)
        if advice is not None and value != option.default:
            raise ValueError(f"{where}.{option.name}={value!r} has no effect on {LOSS_NAME}: {advice}.")
