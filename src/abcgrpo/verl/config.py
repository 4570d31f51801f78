"""verl's policy-loss configuration with the four thresholds."""
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false
# verl is not in the environment of the type checker.

from dataclasses import dataclass, fields

from verl.workers.config import ActorConfig, PolicyLossConfig

from abcgrpo.boundaries import Boundaries

LOSS_NAME = "abc_grpo"
"""What `actor_rollout_ref.actor.policy_loss.loss_mode` calls this loss."""

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
    """`verl.workers.config.PolicyLossConfig` plus the four thresholds; frozen and closed, as that is.

    Selected by `actor_rollout_ref.actor.policy_loss._target_=abcgrpo.verl.ABCGRPOPolicyLossConfig`. Every process that
    builds or receives it so imports `abcgrpo.verl`, and fails there and then where that is impossible.

    Raises:
        ValueError: a threshold that is negative or not a number, a `loss_mode` that is not `abc_grpo`, or an option of
            another policy loss; the message names the option.
    """

    loss_mode: str = LOSS_NAME
    eps_pos_high: float = 0.2
    """ε1: where Â > 0 the ratio is clipped above 1 + ε1 (Q1). `inf` opens it."""
    eps_pos_low: float = 0.2
    """ε2: where Â > 0 the ratio is clipped below 1 − ε2 (Q2). `inf` opens it."""
    eps_neg_high: float = 0.2
    """ε3: where Â < 0 the ratio is clipped above 1 + ε3 (Q4). `inf` opens it."""
    eps_neg_low: float = 0.2
    """ε4: where Â < 0 the ratio is clipped below 1 − ε4 (Q3). `inf` opens it."""

    def __post_init__(self) -> None:
        if self.loss_mode != LOSS_NAME:
            raise ValueError(
                f"policy_loss.loss_mode={self.loss_mode!r} would leave the four thresholds without effect. With "
                f"{type(self).__name__} set actor_rollout_ref.actor.policy_loss.loss_mode={LOSS_NAME}."
            )
        _ = self.boundaries
        refuse_options_of_other_losses(self, PolicyLossConfig, "actor_rollout_ref.actor.policy_loss")

    @property
    def boundaries(self) -> Boundaries:
        """The four thresholds as the objective takes them."""
        return Boundaries(self.eps_pos_high, self.eps_pos_low, self.eps_neg_high, self.eps_neg_low)


def boundaries_of(actor: ActorConfig) -> Boundaries:
    """The thresholds that an actor's configuration trains with.

    Raises:
        ValueError: it does not hold them, or it sets an option of another policy loss.
    """
    if not isinstance(actor.policy_loss, ABCGRPOPolicyLossConfig):
        raise ValueError(
            f"loss_mode={LOSS_NAME} takes its thresholds from abcgrpo.verl.ABCGRPOPolicyLossConfig, not from "
            f"{type(actor.policy_loss).__name__}: set "
            "actor_rollout_ref.actor.policy_loss._target_=abcgrpo.verl.ABCGRPOPolicyLossConfig."
        )
    refuse_options_of_other_losses(actor, ActorConfig, "actor_rollout_ref.actor")
    return actor.policy_loss.boundaries


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
