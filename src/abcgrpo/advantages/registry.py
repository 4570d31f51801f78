"""The known estimators, a line each, and the function that makes one from its name."""

from collections.abc import Mapping
from typing import Any

from abcgrpo.advantages.estimator import Estimator
from abcgrpo.named import make

ESTIMATORS = {
    "group": "abcgrpo.advantages.group:Group",
    "prefix_tree": "abcgrpo.advantages.prefix_tree:PrefixTreeCredit",
    "prefix_share": "abcgrpo.advantages.prefix_share:PrefixShare",
    "optimal_token_baseline": "abcgrpo.advantages.optimal_token_baseline:OptimalTokenBaseline",
    "entropy_weighted": "abcgrpo.advantages.entropy_weighted:EntropyWeighted",
}
"""Name → import path. An estimator of your own needs no line here."""


def resolve_estimator(given: Estimator | str | Mapping[str, Any], where: str = "advantages") -> Estimator:
    """An estimator from what a user writes: a name, a mapping of `name` and parameters, an import path, or itself.

    Args:
        given: one of these, as for rules: `"group"`, `{"name": "group", "scale": "batch"}`, `"my_module.Mine"`.
        where: where it stands, for errors.

    Raises:
        UserError: an unknown name or parameter (the nearest known one is suggested), a value that does not fit, or an
            import path that leads to no estimator.
    """
    return make(given, ESTIMATORS, Estimator, "estimator", where)
