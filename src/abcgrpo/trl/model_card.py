"""The model card (README.md) of a model that was trained with four boundaries: what was done, and what to cite."""

import textwrap
from collections.abc import Sequence
from importlib.metadata import version

from huggingface_hub import ModelCard, ModelCardData

from abcgrpo.boundaries import Boundaries
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
SETTINGS = (
    "loss_type",
    "scale_rewards",
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
    name: str, base: str, data: str, args: ABCGRPOConfig, tags: Sequence[str], on_hub: Sequence[str] = ()
) -> ModelCard:
    """The card of a model.

    Args:
        name: the model's.
        base: a hub id, or whatever tells the reader what it was trained from.
        data: what it was trained on, in words.
        args: what it was trained with.
        tags: the trainer's.
        on_hub: which of `base` and `data` are ids of the hub, which its metadata may link to.
    """
    front = ModelCardData(
        library_name="transformers",
        model_name=name,
        tags=["generated_from_trainer", *tags],
        base_model=base if base in on_hub else None,
        datasets=[data] if data in on_hub else None,
    )
    return ModelCard(f"---\n{front.to_yaml()}\n---\n\n{_text(name, base, data, args)}")


def _text(name: str, base: str, data: str, args: ABCGRPOConfig) -> str:
    thresholds = args.boundaries.parameters()
    bounds = "\n".join(
        f"| {meaning} | {'open' if thresholds[field] == 'inf' else thresholds[field]} |"
        for field, meaning in QUADRANTS.items()
    )
    settings = "\n".join(f"| `{field}` | {getattr(args, field)} |" for field in SETTINGS)
    versions = ", ".join(f"{package} {version(package)}" for package in ("abcgrpo", "trl", "transformers", "torch"))
    return f"""# {name}

Trained from {base} on {data} with the objective of [{PAPER["title"]}](https://huggingface.co/papers/{PAPER["id"]}),
as implemented by abcgrpo: the importance ratio r of every token is clipped on four sides, by the sign of its
advantage Â.

## Boundaries

| threshold | value |
|---|---|
{bounds}

{_rule(args.boundaries)}

## Training

| setting of TRL | value |
|---|---|
{settings}

Versions: {versions}.

## Citation

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


def _rule(bounds: Boundaries) -> str:
    """The known rule that these thresholds are, so that a baseline's card does not claim the paper's method."""
    if bounds == Boundaries.grpo(bounds.eps_pos_high):
        return "With these thresholds the objective is GRPO's (PPO-clip), as a baseline: Q2 and Q4 are open."
    if bounds == Boundaries.clip_higher(bounds.eps_neg_low, bounds.eps_pos_high):
        return "With these thresholds the objective is DAPO's clip-higher, as a baseline: Q2 and Q4 are open."
    if bounds.eps_pos_low >= 1:  # a lower threshold of 1 or more is open, since r > 0
        return "Q2 is open: with these thresholds the objective is that of dual-clip PPO or two-sided clipping."
    return "All four boundaries are ABC-GRPO's."
