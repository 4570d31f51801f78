"""A page for each clipping rule, from its class: formula, source, parameters, and its gradient drawn.

Needs torch, for the curves, and what draws the report's figures; no trainer.
"""

import json
import math
import re

import vl_convert

from abcgrpo.curves import rule_curve
from abcgrpo.report.drawing.rules import rule_panels
from abcgrpo.rules import RULES, AdaptiveRule, Rule, resolve_rule
from abcgrpo.rules.description import describe

FOLDER = "rules"
ARXIV = re.compile(r"(?:arXiv )?\b(\d{4}\.\d{5})\b")
UNCLIPPED = "open"
"""The rule that every other one is drawn beside."""


def navigation() -> list[dict[str, str]]:
    """An entry for each rule."""
    return [{name: f"{FOLDER}/{name}.md"} for name in RULES]


def files() -> dict[str, str]:
    """Path → Markdown of each page, and SVG of each figure."""
    found: dict[str, str] = {}
    for name in RULES:
        rule = resolve_rule(name)
        found[f"{FOLDER}/{name}.md"] = page(rule)
        found |= {f"{FOLDER}/{name}-{side}.svg": figure(rule, side) for side in ("positive", "negative")}
    return found


def page(rule: Rule) -> str:
    """The Markdown of a rule's page."""
    described = describe(rule)
    module = RULES[described.name].partition(":")[0]
    subject = module.split(".")[1]
    parts = [f"# `{described.name}`", *(_linked(text) for text in described.paragraphs)]
    if described.parameters:
        rows = [f"| `{p.name}` | {_number(p.value)} | {p.limits} | {_cell(p.meaning)} |" for p in described.parameters]
        parts += [
            "## Parameters",
            "\n".join(["| parameter | default | limits | meaning |", "|---|---|---|---|", *rows]),
        ]
    parts += ["## What it does to a gradient", FIGURES.format(name=described.name, old=_figure_note(rule))]
    parts += ["## Properties", _properties(rule), "## How to name it", _naming(rule)]
    parts.append(f"Source: [`{module}`](../reference/python/{subject}.md#{module}).")
    return "\n\n".join(parts) + "\n"


FIGURES = """![Gradient where the advantage is positive]({name}-positive.svg){{ .figure }}
![Gradient where the advantage is negative]({name}-negative.svg){{ .figure }}

The gradient of what is maximized with respect to log π, against the importance ratio r, for a response of one token
with advantage +1 and −1. The line `open` is the gradient without a clipping rule.{old}"""


def figure(rule: Rule, side: str) -> str:
    """The gradient of a rule against the ratio, beside the unclipped one, as SVG."""
    rules = {UNCLIPPED: resolve_rule(UNCLIPPED), rule.name: rule}
    panels = rule_panels(list(rules), {name: rule_curve(each) for name, each in rules.items()})
    (panel,) = [each for each in panels if each.name == f"rule_gradient_{side}"]
    specification = panel.specification()
    specification["background"] = "transparent"
    return vl_convert.vegalite_to_svg(json.dumps(specification))


def with_links(markdown: str) -> str:
    """The page of all rules, whose table names each rule in its first column: each name leads to its page."""
    return re.sub(r"^\| `(\w+)` \|", _link_in_table, markdown, flags=re.MULTILINE)


def _link_in_table(row: re.Match[str]) -> str:
    name = row.group(1)
    return f"| [`{name}`]({FOLDER}/{name}.md) |" if name in RULES else row.group(0)


def _linked(text: str) -> str:
    return ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", text)


def _figure_note(rule: Rule) -> str:
    old = rule_curve(rule)["old_probability"]
    if old is None:
        return ""
    return f" This rule also looks at the token's old probability: {old:g} is drawn."


def _properties(rule: Rule) -> str:
    level = "one per response (geometric mean of its tokens)" if rule.level == "sequence" else "one per token"
    bound = "unbounded" if math.isinf(rule.largest_weight) else f"at most {rule.largest_weight:g} times Â"
    spans = (
        "other responses of the batch, so on the micro-batches" if rule.spans == "batch" else "its own response only"
    )
    moves = "yes, once per optimizer step; TRL only" if isinstance(rule, AdaptiveRule) else "no"
    rows = {
        "Importance ratio": level,
        "Gradient of a token": bound,
        "A token's weight depends on": spans,
        "Thresholds move during training": moves,
    }
    return "\n".join(["| property | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _naming(rule: Rule) -> str:
    parameters = list(rule.parameters().items())
    example = {"name": rule.name} | {name: _plain(value) for name, value in parameters[:1]}
    yaml = ", ".join(f"{name}: {value}" for name, value in example.items())
    python = json.dumps(example)
    lines = [
        "```yaml",
        "# a recipe, or an arm of an experiment",
        f"rule: {{{yaml}}}" if parameters else f"rule: {rule.name}",
        "```",
        "",
        "```python",
        f"ABCGRPOConfig('out', rule={python})  # TRL"
        if parameters
        else f"ABCGRPOConfig('out', rule={rule.name!r})  # TRL",
        f"resolve_rule({python})  # for policy_loss"
        if parameters
        else f"resolve_rule({rule.name!r})  # for policy_loss",
        "```",
    ]
    return "\n".join(lines)


def _plain(value: object) -> object:
    return "inf" if isinstance(value, float) and math.isinf(value) else value


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _cell(text: str) -> str:
    return _linked(text).replace("|", "\\|")
