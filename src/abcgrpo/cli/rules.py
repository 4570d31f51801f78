"""`abcgrpo rules`: the clipping rules, and one of them explained and drawn."""

from typing import Annotated, Any

import typer

from abcgrpo.cli.app import Json, app, print_json, results

RATIOS = (0.1, 0.5, 0.7, 0.85, 0.95, 1.0, 1.05, 1.15, 1.3, 1.5, 2.0, 4.0, 9.0)
"""The rows of a drawn rule."""
BAR = 24
"""The width of a bar, in characters."""


@app.command()
def rules(
    rule: Annotated[
        str | None,
        typer.Argument(
            help="A name; an import path such as my_rules.Mine; or, in quotes, {name: clip_higher, high: 0.3}.",
            show_default=False,
        ),
    ] = None,
    old_probability: Annotated[
        float | None,
        typer.Option(
            help="Old probability of the token that is drawn. It matters to some rules only.", show_default="0.1"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List the clipping rules; with a rule, explain it: formula, parameters, source, and its weight against the ratio.

    The names are those of recipes, arms, `--rule`, ABCGRPOConfig(rule=…) and verl's policy-loss configuration.
    """
    from abcgrpo.cli.app import refuse_given

    if rule is None:
        refuse_given({"--old-probability": old_probability}, "the list")
        if json:
            from abcgrpo.rules import RULES

            print_json([_record(name) for name in RULES])
            return
        results().print(_list())
        print("abcgrpo rules NAME explains one. A rule of your own: docs/adding-a-rule.md.")
        return
    if json:
        refuse_given({"--old-probability": old_probability}, "--json")
        print_json(_record(parse_rule(rule)))
        return
    _explain(rule, old_probability)


def parse_rule(text: str) -> Any:
    """What a user wrote for a rule on a command line: a name, or a mapping in YAML's flow style.

    Raises:
        UserError: it is no YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from abcgrpo.errors import UserError

    if not text.lstrip().startswith("{"):
        return text
    try:
        return YAML(typ="safe").load(text)
    except YAMLError as error:
        raise UserError(
            f"rule {text!r} is not understood. Write {{name: clip_higher, high: 0.3}}, in quotes."
        ) from error


def _record(rule: Any) -> dict[str, Any]:
    from dataclasses import asdict

    from abcgrpo.rules import resolve_rule
    from abcgrpo.rules.description import describe

    return asdict(describe(resolve_rule(rule)))


def _list() -> Any:
    from rich.table import Table

    from abcgrpo.rules import RULES, resolve_rule
    from abcgrpo.rules.description import describe

    table = Table("rule", "parameters", "what is maximized", box=None, pad_edge=False)
    for name in RULES:
        rule = resolve_rule(name)
        parameters = ", ".join(f"{key} {_number(value)}" for key, value in rule.parameters().items())
        table.add_row(name, parameters, describe(rule).paragraphs[0])
    return table


def _explain(text: str, old_probability: float | None) -> None:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from abcgrpo.curves import OLD_PROBABILITY
    from abcgrpo.errors import UserError
    from abcgrpo.rules import resolve_rule
    from abcgrpo.rules.description import describe

    rule = resolve_rule(parse_rule(text))
    description = describe(rule)
    old = OLD_PROBABILITY if old_probability is None else old_probability
    if not 0 < old <= 1:
        raise UserError(f"--old-probability is a probability above 0, got {old:g}.")
    console = results()
    console.print(Text(rule.name, style="bold"))
    for paragraph in description.paragraphs:
        console.print(Text(f"\n{paragraph}"))
    parameters = Table("parameter", "value", "meaning", box=None, pad_edge=False)
    for each in description.parameters:
        parameters.add_row(each.name, _number(each.value), each.meaning)
    parts: list[Any] = [Text()] + ([parameters, Text()] if description.parameters else [])
    console.print(Group(*parts, *_drawn(rule, old)))


def _drawn(rule: Any, old_probability: float) -> list[Any]:
    """Its weight against the ratio, as bars for both signs of Â; the ratio itself is the weight without a rule."""
    from rich.bar import Bar
    from rich.table import Table
    from rich.text import Text

    from abcgrpo.curves import token_weights

    ratios = [ratio for ratio in RATIOS if ratio * old_probability <= 1]
    good, bad = (token_weights(rule, ratios, sign, old_probability).tolist() for sign in (1.0, -1.0))
    widest = max(2.0, *(weight for weight in [*good, *bad]))
    table = Table("r", "w where Â > 0", "", "w where Â < 0", "", box=None, pad_edge=False)
    for ratio, *weights in zip(ratios, good, bad, strict=True):
        cells: list[Any] = []
        for weight in weights:
            cells += [f"{weight + 0.0:.3g}", Bar(widest, 0, max(weight, 0), width=BAR, color="cyan")]
        table.add_row(f"{ratio:g}", *cells)
    about = "The weight w of a token's gradient, Â·w·∇logπ, for a response of one token that had probability "
    return [Text(f"{about}{old_probability:g}. w = r: the rule leaves the token unclipped."), table]


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | int) else str(value)
