"""The model card (README.md) of a model that was trained with a clipping rule: what was done, and what to cite."""

import inspect
import textwrap
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from abcgrpo.rules import Rule
from abcgrpo.rules.abc_grpo import Boundaries
from abcgrpo.rules.bounded import BoundedRule
from abcgrpo.trl.config import ABCGRPOConfig

PAPER = {
    "title": "Adaptive-Boundary-Clipping GRPO: Ensuring Bounded Ratios for Stable and Generalizable Training",
    "id": "2601.03895",
    "citation": textwrap.dedent("""\
        @article{liu2026abcgrpo,
            title   = {{Adaptive-Boundary-Clipping GRPO:
                       Ensuring Bounded Ratios for Stable and Generalizable Training}},
            author  = {Liu, Chi and Chen, Xin},
            year    = 2026,
            journal = {arXiv preprint arXiv:2601.03895},
        }"""),
}
QUADRANTS = {
    "eps_pos_high": "ε1: Q1, Â > 0, r above 1 + ε1",
    "eps_pos_low": "ε2: Q2, Â > 0, r below 1 − ε2",
    "eps_neg_high": "ε3: Q4, Â < 0, r above 1 + ε3",
    "eps_neg_low": "ε4: Q3, Â < 0, r below 1 − ε4",
}
OBJECTIVE = "The importance ratio r of every token is clipped on four sides, by the sign of its advantage Â."
SETTINGS = (
    "loss_type",
    "scale_rewards",
    "advantages",
    "num_generations",
    "steps_per_generation",
    "learning_rate",
    "max_steps",
    "num_train_epochs",
    "max_completion_length",
    "temperature",
    "beta",
    "seed",
)


def model_card(
    name: str,
    base: str,
    data: str,
    args: ABCGRPOConfig,
    tags: Sequence[str],
    on_hub: Sequence[str] = (),
    adapter: Mapping[str, Any] | None = None,
) -> ModelCard:
    """The card of a model.

    Args:
        name: the model's.
        base: a hub id, or whatever tells the reader what it was trained from.
        data: what it was trained on, in words.
        args: what it was trained with.
        tags: the trainer's.
        on_hub: which of `base` and `data` are ids of the hub, which its metadata may link to.
        adapter: settings of the adapter that was trained in the model's place, by PEFT's names.
    """
    front = ModelCardData(
        library_name="peft" if adapter else "transformers",
        model_name=name,
        tags=["generated_from_trainer", *tags],
        base_model=base if base in on_hub else None,
        datasets=[data] if data in on_hub else None,
    )
    return ModelCard(f"---\n{front.to_yaml()}\n---\n\n{_text(name, base, data, args, adapter)}")


def _text(name: str, base: str, data: str, args: ABCGRPOConfig, adapter: Mapping[str, Any] | None) -> str:
    settings = "\n".join(f"| `{field}` | {getattr(args, field)} |" for field in SETTINGS)
    packages = ("abcgrpo", "trl", "transformers", *(["peft"] if adapter else []), "torch")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return f"""# {name}

Trained from {base} on {data} by reinforcement learning with groups of answers, as implemented by abcgrpo. The
clipping rule below says how much each token's gradient weighs.

## Clipping rule: {args.clipping_rule.name}

{_rule(args.clipping_rule)}

## Training

| setting of TRL | value |
|---|---|
{settings}
{_adapter(adapter, base) if adapter else ""}
Versions: {versions}.

## Citation

The paper of abc_grpo, [{PAPER["title"]}](https://huggingface.co/papers/{PAPER["id"]}):

```bibtex
{PAPER["citation"]}
```

Training ran on TRL:

```bibtex
@software{{vonwerra2020trl,
    title  = {{{{TRL: Transformers Reinforcement Learning}}}},
    author = {{von Werra, Leandro and others}},
    url    = {{https://github.com/huggingface/trl}},
    year   = {{2020}},
}}
```
"""


def _adapter(settings: Mapping[str, Any], base: str) -> str:
    return f"""
## Adapter

The weights of {base} were frozen. What was trained, and what the checkpoints hold, is an adapter on it; PEFT's
`AutoPeftModelForCausalLM` loads both.

{_table("setting of PEFT", settings)}
"""


def _rule(rule: Rule) -> str:
    """The rule's parameters and what it does, so that a baseline's card does not claim the paper's method."""
    bounds = rule if isinstance(rule, Boundaries) else rule.boundaries if isinstance(rule, BoundedRule) else None
    about = inspect.getdoc(type(rule)) or "A custom rule."
    parts = [_table("parameter", rule.parameters())] if rule.parameters() and not isinstance(rule, Boundaries) else []
    if bounds is not None:
        parts.append(f"{OBJECTIVE}\n\n" + _table("threshold", bounds.parameters(), QUADRANTS))
    parts.append(_known(rule) if isinstance(rule, Boundaries) else about.partition("\n\nRaises:")[0])
    return "\n\n".join(parts)


def _table(header: str, values: Mapping[str, Any], meanings: Mapping[str, str] | None = None) -> str:
    lines = [f"| {(meanings or {}).get(name, name)} | {_shown(value)} |" for name, value in values.items()]
    return "\n".join([f"| {header} | value |", "|---|---|", *lines])


def _shown(value: Any) -> str:
    return "open" if value == "inf" else str(value)


def _known(bounds: Boundaries) -> str:
    """The known rule that four thresholds are."""
    if bounds == Boundaries.grpo(bounds.eps_pos_high):
        return "With these thresholds the objective is GRPO's (PPO-clip), as a baseline: Q2 and Q4 are open."
    if bounds == Boundaries.clip_higher(bounds.eps_neg_low, bounds.eps_pos_high):
        return "With these thresholds the objective is DAPO's clip-higher, as a baseline: Q2 and Q4 are open."
    if bounds.eps_pos_low >= 1:  # a lower threshold of 1 or more is open, since r > 0
        return "Q2 is open: with these thresholds the objective is that of dual-clip PPO or two-sided clipping."
    return "All four boundaries are ABC-GRPO's."
