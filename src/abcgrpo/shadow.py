"""Shadow rules: what other clipping rules would have made of the tokens that a step trains on.

For each rule j, from the tensors that the step has anyway:

- removed gradient mass m_j = Σ|Â|·|r − w_j| / Σ|Â|·r, in all and by quadrant (the four add up to it, except for tokens
  with r = 1, of which no rule removes anything);
- distance of two rules d_ij = Σ|Â|·|w_i − w_j| / Σ|Â|·r.

r is the token's ratio whatever a rule's level. Sums are over tokens, so that they add up over micro-batches and ranks
exactly. Where no ratio has moved, as in the first mini-batch of a rollout, all are 0. Counting clip events instead
would hide how much gradient the clipped tokens carry.
"""

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor

from abcgrpo.event_shares import QUADRANTS
from abcgrpo.rules.rule import Rule
from abcgrpo.tokens import RatioLevel, Tokens, tokens_of

DEFAULT_SHADOWS = ("open", "grpo", "abc_grpo", "dppo_tv", "cispo")
"""The rules that a run is measured against unless it says otherwise."""


class ShadowRules:
    """Rules to be measured beside the one that is trained."""

    def __init__(self, trained: Rule | None, others: Mapping[str, Rule], level: RatioLevel | None = None) -> None:
        """
        Args:
            trained: the rule that is trained; in the results it is called "trained". None: a loss that is no rule.
            others: the other rules, by the names that the results give them. One that equals the trained rule is left
                out: it is the trained one.
            level: of the trained rule's ratio, where it is not the rule's own.

        Raises:
            ValueError: a rule whose weight depends on the whole batch, which sums over micro-batches cannot say.
        """
        own = {} if trained is None else {"trained": trained}
        self.rules = own | {name: rule for name, rule in others.items() if rule != trained}
        self._levels = {name: rule.level for name, rule in self.rules.items()}
        if trained is not None and level is not None:
            self._levels["trained"] = level
        for name, rule in others.items():
            if rule.spans == "batch":
                raise ValueError(
                    f"{name} cannot be a shadow rule: its weights depend on how a step is cut into micro-batches"
                )

    @torch.no_grad()
    def measure(self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Sums of a micro-batch, to be added; float32.

        - `mass`: Σ|Â|·r; a scalar.
        - `removed`: Σ|Â|·|r − w_j| for each rule, in all and in Q1 to Q4; (rules, 5).
        - `apart`: Σ|Â|·|w_i − w_j| for each pair of rules; (pairs,), in the order of `pairs`.

        Args:
            logprobs: (B, T).
            old_logprobs: (B, T).
            advantages: (B,) or (B, T).
            mask: (B, T), 1 or True where a token counts.
        """
        tokens = {"token": tokens_of(logprobs.detach(), old_logprobs, advantages, mask)}
        ratio, size = tokens["token"].ratio, tokens["token"].advantages.abs()
        mass = (size * ratio).sum()
        if bool((ratio == 1).all()):
            return {
                "mass": mass,
                "removed": mass.new_zeros(len(self.rules), 5),
                "apart": mass.new_zeros(len(self.pairs)),
            }
        if "sequence" in self._levels.values():
            tokens["sequence"] = tokens_of(logprobs.detach(), old_logprobs, advantages, mask, "sequence")
        weights = {name: rule.weight(tokens[self._levels[name]]) for name, rule in self.rules.items()}
        places = torch.stack([torch.ones_like(ratio), *quadrants(tokens["token"])]).flatten(1)
        removed = torch.stack([size * (ratio - weight).abs() for weight in weights.values()]).flatten(1)
        apart = [(size * (weights[one] - weights[other]).abs()).sum() for one, other in self.pairs]
        return {
            "mass": mass,
            "removed": removed @ places.T,
            "apart": torch.stack(apart) if apart else mass.new_zeros(0),
        }

    def named(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """The sums by name: `removed/<rule>`, `removed/<rule>/q1` … `q4`, and `distance/<rule>/<rule>` of each pair."""
        results: dict[str, float] = {}
        for name, values in zip(self.rules, sums["removed"].tolist(), strict=True):
            for place, value in zip(("", *(f"/{quadrant}" for quadrant in QUADRANTS)), values, strict=True):
                results[f"removed/{name}{place}"] = value
        for (one, other), value in zip(self.pairs, sums["apart"].tolist(), strict=True):
            results[f"distance/{one}/{other}"] = value
        return results

    def summarize(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """m_j and d_ij from the sums of an optimizer step, by the same names; 0 where no token has an advantage."""
        mass = float(sums["mass"]) or 1.0
        return {name: value / mass for name, value in self.named(sums).items()}

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of rules whose distance is measured."""
        return list(combinations(self.rules, 2))


def quadrants(tokens: Tokens) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """1 at the tokens of Q1, Q2, Q3 and Q4, 0 elsewhere; (B, T) each, in the ratio's dtype."""
    good, bad = tokens.advantages > 0, tokens.advantages < 0
    above, below = tokens.ratio > 1, tokens.ratio < 1
    q1, q2, q3, q4 = good & above, good & below, bad & below, bad & above
    return q1.to(tokens.ratio), q2.to(tokens.ratio), q3.to(tokens.ratio), q4.to(tokens.ratio)
