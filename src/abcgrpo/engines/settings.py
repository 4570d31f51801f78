"""What the adapters share: the rule out of an engine's configuration, refused options and versions, clip events."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from abcgrpo.objective import token_loss
from abcgrpo.quadrants import clip_events
from abcgrpo.rules import AdaptiveRule, Rule, resolve_rule
from abcgrpo.tokens import importance_ratio


def get(config: Any, name: str, otherwise: Any = None) -> Any:
    """A field of a configuration that is a mapping or an object."""
    return config.get(name, otherwise) if isinstance(config, Mapping) else getattr(config, name, otherwise)


def read_rule(config: Any, engine: str, *, scaled_advantages: bool = False, responses_share_rows: bool = False) -> Rule:
    """The clipping rule in the field `rule` of a configuration: a name, or a mapping with a name and parameters.

    It has no default here, so that it is not forgotten.

    Args:
        config: a mapping or an object.
        engine: its name, for errors.
        scaled_advantages: the engine divides the advantages by its normaliser before the loss.
        responses_share_rows: the loss sees several responses as one row.

    Raises:
        UserError: an unknown rule or parameter.
        ValueError: no rule; one that adapts, for which engines have no place; one that looks across responses; with
            `scaled_advantages`, one whose surrogate is not proportional to the advantage; with `responses_share_rows`,
            one that takes one ratio per response.
    """
    given = get(config, "rule")
    if given is None:
        raise ValueError(f"{engine}: the configuration names no clipping rule. Write one: rule: {{name: abc_grpo}}")
    rule = resolve_rule(given, engine)
    if isinstance(rule, AdaptiveRule):
        raise ValueError(f"{engine} does not update the thresholds of an adaptive rule, such as {rule.name}: use TRL")
    if rule.spans != "response":
        raise ValueError(f"rule {rule.name} looks at all tokens of a batch, and {engine} cuts the batch up: use TRL")
    if responses_share_rows and rule.level != "token":
        raise ValueError(
            f"rule {rule.name} uses one ratio per response, and {engine} puts several responses into one row"
        )
    if scaled_advantages and not is_linear(rule):
        raise ValueError(
            f"{engine} divides advantages by its normaliser before the loss, which changes what rule {rule.name} does: "
            f"its surrogate is not proportional to the advantage"
        )
    return rule


def is_linear(rule: Rule) -> bool:
    """Whether a surrogate is proportional to |Â|: found by asking it, with ratios of 0.1 to 10 and both signs of Â."""
    logprobs = torch.linspace(-2.3, 2.3, 47, dtype=torch.float64).expand(2, -1) - 5
    old, sign = torch.full_like(logprobs, -5), torch.tensor([1.0, -1.0], dtype=torch.float64)
    mask = torch.ones_like(logprobs)
    once, more = (token_loss(logprobs, old, scale * sign, rule, mask) for scale in (1.0, 1e-4))
    return torch.allclose(more, 1e-4 * once, rtol=1e-6, atol=1e-12)


def refuse(config: Any, names: Iterable[str], engine: str) -> None:
    """Refuse options that the engine's own losses follow and this one would not.

    Raises:
        ValueError: one of them is set.
    """
    for name in names:
        if get(config, name):
            raise ValueError(f"{name}={get(config, name)!r} has no effect on abcgrpo's loss in {engine}: leave it out")


def require_version(distribution: str, series: str) -> None:
    """Refuse an engine whose contract has not been tried.

    Args:
        distribution: its name on the package index.
        series: the releases whose contract has: "0.4" for 0.4.0, 0.4.1, …

    Raises:
        RuntimeError: another version is installed.
    """
    found = version(distribution)
    if not f"{found}.".startswith(f"{series}."):
        raise RuntimeError(
            f"abcgrpo's adapter was tested with {distribution} {series}, and {distribution} {found} is installed, "
            f'whose contract may differ: pip install "{distribution}=={series}.*"'
        )


def event_fractions(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, tokens: float | Tensor | None = None
) -> dict[str, Tensor]:
    """Clip events of each quadrant ÷ tokens, as 0-d tensors: `clip/q1` … `clip/q4`. Inputs are (B, T).

    `tokens`: what to divide by; default: the tokens of this batch.
    """
    ratio = importance_ratio(logprobs.detach(), old_logprobs, mask)
    events = clip_events(ratio, advantages, mask).counts() / (mask.sum().clamp(min=1) if tokens is None else tokens)
    return {f"clip/q{quadrant}": fraction for quadrant, fraction in enumerate(events, start=1)}
