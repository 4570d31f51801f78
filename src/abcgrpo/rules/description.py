"""What a rule says of itself: its docstring, and its parameters with defaults, limits and meanings."""

import ast
import inspect
import textwrap
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

from abcgrpo.rules.rule import Rule


@dataclass(frozen=True)
class ParameterDescription:
    """One parameter of a rule."""

    name: str
    value: Any
    limits: str
    """`≥ 0`, `> 1`, …; empty if the rule states none."""
    meaning: str
    """The docstring under the field, in one line."""


@dataclass(frozen=True)
class RuleDescription:
    """A rule for readers: on the command line, and on the documentation's page of the rule."""

    name: str
    paragraphs: list[str]
    """The docstring of the class. The first paragraph has the formula and, for a published rule, the source."""
    parameters: list[ParameterDescription]


def describe(rule: Rule) -> RuleDescription:
    """Describe a rule from its class: nothing is stated twice."""
    limits = {field.name: field.metadata.get("limits", "") for field in fields(rule)}  # type: ignore[arg-type]
    meanings = _field_docstrings(type(rule))
    parameters = [
        ParameterDescription(name, value, limits.get(name, ""), meanings.get(name, ""))
        for name, value in rule.parameters().items()
    ]
    return RuleDescription(rule.name, _paragraphs(rule), parameters)


def _paragraphs(rule: Rule) -> list[str]:
    """The docstring, a line for each paragraph, without the errors that it raises."""
    text = inspect.getdoc(type(rule)) or type(rule).__qualname__
    paragraphs = text.split("\n\n")
    kept = [each for each in paragraphs if not each.startswith("Raises:")]
    return [each if each.startswith("    ") else " ".join(each.split()) for each in kept]


def _field_docstrings(kind: type) -> dict[str, str]:
    """Field → the docstring under it, from the source of the class and of those that it derives from."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        found |= _own_field_docstrings(each)
    return found


def _own_field_docstrings(kind: type) -> dict[str, str]:
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError):  # a class without a file
        return {}
    return {
        declared.target.id: " ".join(str(docstring.value.value).split())
        for declared, docstring in pairwise(getattr(tree, "body", []))
        if isinstance(declared, ast.AnnAssign)
        and isinstance(declared.target, ast.Name)
        and isinstance(docstring, ast.Expr)
        and isinstance(docstring.value, ast.Constant)
    }
