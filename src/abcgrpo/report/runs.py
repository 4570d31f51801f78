"""How the arms' configurations differ, and what each run ran with."""

from typing import Any

from abcgrpo.report.records import RunRecord

OF_A_RUN = ("seed", "output_dir", "run_name")
"""Fields of a recipe that tell one run of an arm from another."""
THRESHOLDS = {"eps_pos_high": "ε1 (Q1)", "eps_pos_low": "ε2 (Q2)", "eps_neg_high": "ε3 (Q4)", "eps_neg_low": "ε4 (Q3)"}
FAMILY = ("grpo", "bnpo", "dapo", "dr_grpo")
"""The loss types that are reductions of one token loss, which four thresholds describe; TRL's others are not."""


def recipe_of(runs: list[RunRecord]) -> dict[str, Any] | None:
    """What an arm is trained with, without the fields of a single run; None where no manifest tells."""
    manifest = next((run.manifest for run in runs if run.manifest), None)
    if manifest is None:
        return None
    return {name: value for name, value in manifest["recipe"].items() if name not in OF_A_RUN}


def boundaries_of(runs: list[RunRecord]) -> dict[str, float | str] | None:
    """The four thresholds that an arm is trained with; None where they are not known, or do not describe its loss.

    TRL's own GRPO loss is the setting (ε_high, open, δ − 1 or open, ε) of them, which tests/trl/test_identities.py
    shows; its cispo, sapo and others are no setting.
    """
    recipe = recipe_of(runs)
    if recipe is None or recipe.get("loss_type", "grpo") not in FAMILY:
        return None
    if recipe.get("objective", "abc-grpo") == "abc-grpo":
        return {name: recipe.get(name, 0.2) for name in THRESHOLDS}
    low, delta = recipe.get("epsilon", 0.2), recipe.get("delta")
    return {
        "eps_pos_high": recipe.get("epsilon_high") or low,
        "eps_pos_low": "inf",
        "eps_neg_high": delta - 1 if delta else "inf",
        "eps_neg_low": low,
    }


def configuration(by_arm: dict[str, list[RunRecord]]) -> dict[str, dict[str, Any]]:
    """The fields of the recipe in which arms differ, each with its value by arm (None where the default is taken)."""
    recipes = {arm: recipe for arm, runs in by_arm.items() if (recipe := recipe_of(runs)) is not None}
    names = sorted({name for recipe in recipes.values() for name in recipe})
    values = {name: {arm: recipe.get(name) for arm, recipe in recipes.items()} for name in names}
    return {name: by for name, by in values.items() if len({str(value) for value in by.values()}) > 1}


def manifests(runs: list[RunRecord]) -> list[dict[str, Any]]:
    """For each run: arm, seed, steps, tokens, seconds, and versions, commit and machine as its manifest has them."""
    return [
        {"arm": run.label, "seed": run.seed, "recorded": run.manifest is not None, "steps": run.steps}
        | {name: (run.manifest or {}).get(name) for name in ("tokens", "seconds", "environment")}
        for run in runs
    ]
