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


def rule_of(runs: list[RunRecord]) -> dict[str, Any] | None:
    """The clipping rule that an arm is trained with, by name and parameters; None where it is not known.

    Runs of TRL's own losses are told by the rule here that they equal, as tests/rules/test_equal_to_trl.py shows.
    """
    manifest = next((run.manifest for run in runs if run.manifest), None)
    if manifest and manifest.get("rule"):
        return manifest["rule"]
    recipe = recipe_of(runs)
    if recipe is None:
        return None
    if recipe.get("objective", "abc-grpo") == "abc-grpo":
        return {"name": "abc_grpo"} | {name: recipe.get(name, 0.2) for name in THRESHOLDS}
    return _trl_rule(recipe)


def curve_of(runs: list[RunRecord]) -> dict[str, Any] | None:
    """The rule's curve as the arm's runs recorded it; None where they did not."""
    return next((run.manifest["rule_curve"] for run in runs if run.manifest and run.manifest.get("rule_curve")), None)


def _trl_rule(recipe: dict[str, Any]) -> dict[str, Any] | None:
    low, delta, loss = recipe.get("epsilon", 0.2), recipe.get("delta"), recipe.get("loss_type", "dapo")
    high = recipe.get("epsilon_high") or low
    if loss == "cispo":
        return {"name": "cispo", "cap": high}
    if loss == "sapo":
        named = {"tau_pos": "sapo_temperature_pos", "tau_neg": "sapo_temperature_neg"}
        return {"name": "sapo"} | {ours: recipe[theirs] for ours, theirs in named.items() if theirs in recipe}
    if loss not in FAMILY:
        return None
    if recipe.get("importance_sampling_level") == "sequence":
        return None if delta else {"name": "gspo", "low": low, "high": high}
    return {
        "name": "abc_grpo",
        "eps_pos_high": high,
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
