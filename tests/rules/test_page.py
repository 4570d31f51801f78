"""docs/rules.md lists every rule with the defaults that it has."""

import re
from pathlib import Path

from abcgrpo.rules import RULES, resolve_rule

ROWS = re.findall(r"^\| `(\w+)` \|.*\|\s*([^|]*?)\s*\|$", Path("docs/rules.md").read_text(), flags=re.MULTILINE)


def test_the_table_has_every_rule_and_its_defaults() -> None:
    written = {name: dict(re.findall(r"`(\w+)` ([\d.e-]+)", parameters)) for name, parameters in ROWS}
    expected = {name: {key: f"{value:g}" for key, value in resolve_rule(name).parameters().items()} for name in RULES}
    assert written == expected
