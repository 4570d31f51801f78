"""Every causal model type of transformers against itself without padding.

    python -m tests.trl.update.sweep                  # all types, a line for each; about ten minutes on one core
    python -m tests.trl.update.sweep mistral gemma2
    python -m tests.trl.update.sweep --markdown table.md

Each type is built tiny, with random weights and windows of a few tokens, and is given padded rows that are longer.
The reference is the model under TRL's head on one row at a time, without padding. It is compared in log-probs and in
the gradient of all weights with the layout that the update chooses, and with "flushed" rows, too, where those are
packed. TRL's own padded rows are compared with the plain model, which shows where padding, or TRL's head, are not
right for a type. The exit status is 1 if a layout of ours differs.
"""

import argparse
import math
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from trl.trainer.utils import add_fused_lm_head

from abcgrpo.trl.update.attention import use_varlen_attention
from abcgrpo.trl.update.choice import choose_layout
from abcgrpo.trl.update.flops import ModelShape
from abcgrpo.trl.update.head import why_fused
from abcgrpo.trl.update.layout import Layout
from abcgrpo.trl.update.parts import Parts
from abcgrpo.trl.update.replica import SMALL_VOCABULARY, SMALL_WINDOW, shrunken
from abcgrpo.trl.update.scoring import Scorer

TYPES = sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
WINDOWED = " + window"
TEMPERATURE = 0.9
PROMPTS, COMPLETIONS = (3, 6, 1, 4), (21, 9, 30, 5)
"""Tokens of each row: most rows are longer than any window of a tiny model."""

TOLERANCE = 2e-4
"""Largest difference of a log-prob in nats, and of a gradient ÷ its largest entry over all weights."""

TWEAKS: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}}},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "falcon_h1": {"mamba_d_ssm": 128, "mamba_d_head": 16},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8},
    "ministral": {"head_dim": 16},
    "nemotron": {"num_key_value_heads": 2},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {"axial_pos_embds": False, "is_decoder": True, "local_attn_chunk_length": 1},
    "xmod": {"default_language": "en_XX"},
    "zamba2": {"mamba_headdim": 16},
}
"""Fields of a type whose default configuration is no model, or not a small one."""


@dataclass(frozen=True)
class Outcome:
    """What one type did."""

    name: str
    layout: str = ""
    """The layout chosen; empty if the type was not compared."""
    reason: str = ""
    """Why the layout is not a better one, or why the type was not compared."""
    logprobs: float = math.nan
    """Largest difference of a log-prob from the rows without padding, in nats, over the layouts of ours."""
    gradients: float = math.nan
    """Largest difference of a gradient ÷ largest gradient, likewise."""
    stock: float = math.nan
    """Largest difference of a log-prob between TRL's padded rows and those without padding, in nats."""

    @property
    def differs(self) -> bool:
        """Whether a layout of ours is not exact. Where TRL's own was chosen, its difference is TRL's."""
        return self.layout in ("packed", "flushed") and not max(self.logprobs, self.gradients) <= TOLERANCE


def variants(names: list[str]) -> list[str]:
    """The types, and those whose windows are optional with a window, too: "phi3 + window"."""
    optional = {name for name in names if getattr(CONFIG_MAPPING[name], "sliding_window", 0) is None}
    return [each for name in names for each in ([name, name + WINDOWED] if name in optional else [name])]


def tiny(variant: str) -> PreTrainedModel:
    """A model of this type: its default configuration, shrunken; weights that differ from token to token."""
    name = variant.removesuffix(WINDOWED)
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[name]
    built = getattr(transformers, known if isinstance(known, str) else known[0])
    config = CONFIG_MAPPING[name]()
    if config.sub_configs.get("text_config") is built.config_class:
        config = config.get_text_config()
    config = shrunken(config)
    if hasattr(config, "is_decoder"):
        config.is_decoder = True
    for field, value in TWEAKS.get(name, {}).items():
        setattr(config, field, value)
    if variant != name:
        config.sliding_window = SMALL_WINDOW
    with torch.device("meta"):
        size = sum(weight.numel() for weight in built(config).parameters())
    if size > 2e7:
        raise ValueError(f"{size / 1e6:.0f} million weights are left after shrinking")
    torch.manual_seed(1)
    model = built(config).float()
    for weight in model.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=weight.size(-1) ** -0.5)
    return model.train()


def sweep(name: str) -> Outcome:
    """Compare one type."""
    try:
        model = tiny(name)
        plain = [_plain(model), _plain(model)]
    except Exception as error:
        return Outcome(name, reason=f"cannot be built tiny: {_line(error)}")
    if not plain[0].isfinite().all():
        return Outcome(name, reason="cannot be built tiny: its outputs are not finite")
    if not plain[0].equal(plain[1]):
        return Outcome(name, reason="its log-probs are random while it trains")
    try:
        add_fused_lm_head(model, temperature=TEMPERATURE, outputs=("log_probs", "entropy"))
        alone = _with_gradients(model, _alone(model))
        padded = _padded(model, "stock").detach()
    except Exception as error:
        return Outcome(name, reason=f"TRL cannot train it: {_line(error)}")
    layout, reason = choose_layout(model, False, {})
    ModelShape.of(model)
    layouts: list[Layout] = ["packed", "flushed"] if layout == "packed" else [layout]
    differences = [_difference(_with_gradients(model, _padded(model, each)), alone) for each in layouts]
    worst = [max(values) for values in zip(*differences, strict=True)]
    return Outcome(name, layout, reason, *worst, (padded - plain[0]).abs().max().item())


def rows() -> tuple[Tensor, Tensor]:
    """Ids and mask as TRL pads them: (B, P + C)."""
    prompt, completion = max(PROMPTS), max(COMPLETIONS)
    mask = torch.zeros(len(PROMPTS), prompt + completion, dtype=torch.long)
    for row, (before, after) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        mask[row, prompt - before : prompt + after] = 1
    ids = torch.randint(3, SMALL_VOCABULARY - 1, mask.shape, generator=torch.Generator().manual_seed(2))
    return ids.masked_fill(mask == 0, 0), mask


@torch.no_grad()
def _plain(model: PreTrainedModel) -> Tensor:
    """Log-probs (B, C) of the model itself on one row at a time."""
    ids, mask = rows()
    logprobs = torch.zeros(len(ids), max(COMPLETIONS))
    for row, (before, after) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        own = ids[row][mask[row].bool()]
        values = torch.log_softmax(model(input_ids=own[None]).logits[0, :-1] / TEMPERATURE, -1)
        logprobs[row, :after] = values.gather(1, own[1:, None])[before - 1 :, 0]
    return logprobs


def _alone(model: PreTrainedModel) -> Tensor:
    """The same under TRL's head, with a gradient."""
    ids, mask = rows()
    own = [row[kept.bool()][None] for row, kept in zip(ids, mask, strict=True)]
    scored = [_score(model, "stock", row, after) for row, after in zip(own, COMPLETIONS, strict=True)]
    return torch.cat([F.pad(values, (0, max(COMPLETIONS) - values.size(1))) for values in scored])


def _padded(model: PreTrainedModel, layout: Layout) -> Tensor:
    """The same of the rows as TRL pads them, in this layout."""
    ids, mask = rows()
    if layout == "packed":
        use_varlen_attention(model)
    return _score(model, layout, ids, max(COMPLETIONS), mask)


def _score(model: PreTrainedModel, layout: Layout, ids: Tensor, length: int, mask: Tensor | None = None) -> Tensor:
    host: Any = SimpleNamespace(accelerator=Accelerator(cpu=True), temperature=TEMPERATURE)
    scorer = Scorer(host, Parts(layout=layout, keep_logits=layout == "packed" and not why_fused(model)))
    return scorer.score(model, ids, torch.ones_like(ids) if mask is None else mask, length).logprobs


def _with_gradients(model: PreTrainedModel, logprobs: Tensor) -> list[Tensor]:
    """Log-probs, and the gradients of a weighted sum of them in all weights."""
    model.zero_grad()
    weights = torch.randn(logprobs.shape, generator=torch.Generator().manual_seed(3))
    (logprobs * weights).sum().backward()
    gradients = [torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in model.parameters()]
    return [logprobs.detach(), *gradients]


def _difference(ours: list[Tensor], reference: list[Tensor]) -> tuple[float, float]:
    """Of log-probs in nats, and of gradients ÷ the largest gradient."""
    largest = max(gradient.abs().max().item() for gradient in reference[1:])
    own = [(mine - its).abs().max().item() for mine, its in zip(ours, reference, strict=True)]
    return own[0], max(own[1:]) / largest


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:140]}" if lines else type(error).__name__


def _markdown(outcomes: list[Outcome]) -> str:
    """Types of the same layout for the same reason in one row, with their largest differences."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault((one.layout or "not compared", one.reason.replace("|", "/")), []).append(one)
    order = ["packed", "flushed", "stock", "not compared"]
    lines = ["| layout | why not a better one | types | log-probs | gradients |", "|---|---|---|---|---|"]
    for (layout, reason), members in sorted(groups.items(), key=lambda group: (order.index(group[0][0]), group[0][1])):
        worst = [max(one.logprobs for one in members), max(one.gradients for one in members)]
        numbers = ["" if math.isnan(value) else f"{value:.0e}" for value in worst]
        names = ", ".join(one.name for one in members)
        lines.append(f"| {layout} | {reason} | {names} | {' | '.join(numbers)} |")
    apart = ", ".join(f"{one.name} ({one.stock:.1g})" for one in outcomes if one.stock > TOLERANCE)
    return "\n".join(lines) + f"\n\nTRL's log-probs of padded rows are not the model's own: {apart}.\n"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("types", nargs="*", choices=[[], *TYPES], metavar="TYPE", help="default: all")
    parser.add_argument("--markdown", type=Path, help="write the table to this file, too")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    outcomes = []
    for name in variants(options.types or TYPES):
        outcomes.append(one := sweep(name))
        mark = "DIFFERS" if one.differs else one.layout or "-"
        numbers = f"{one.logprobs:8.1e} {one.gradients:8.1e} {one.stock:8.1e}"
        print(f"{len(outcomes):3} {name:26} {mark:8} {numbers}  {one.reason}", flush=True)
    compared = [one for one in outcomes if one.layout]
    counts = ", ".join(f"{sum(o.layout == kind for o in compared)} {kind}" for kind in ("packed", "flushed", "stock"))
    different = [one.name for one in compared if one.differs]
    print(f"{len(outcomes)} types, {len(compared)} compared: {counts}; different: {', '.join(different) or 'none'}")
    if options.markdown:
        options.markdown.write_text(_markdown(outcomes))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
