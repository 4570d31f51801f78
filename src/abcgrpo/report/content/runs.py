"""How the arms' configurations differ, and what each run ran with."""

from typing import Any

from abcgrpo.report.reading.records import Records, RunRecord

OF_A_RUN = ("seed", "output_dir", "run_name")
"""Fields of a recipe that tell one run of an arm from another."""


def about(records: Records) -> dict[str, Any]:
    """What the report is of, for its head: `bases`, `tasks`, `first` and `last` day of the runs, `seeds`.

    Lists are empty, and days None, where no manifest tells.
    """
    recorded = [run.manifest for run in records.runs if run.manifest]
    recipes = [manifest.get("recipe", {}) for manifest in recorded]
    tasks = [recipe.get("task") or recipe.get("dataset_name") for recipe in recipes]
    days = sorted(manifest[end][:10] for manifest in recorded for end in ("started", "finished") if manifest.get(end))
    return {
        "bases": list(dict.fromkeys(str(name) for recipe in recipes if (name := recipe.get("model_name_or_path")))),
        "tasks": list(dict.fromkeys(_task_name(task) for task in tasks if task)),
        "first": days[0] if days else None,
        "last": days[-1] if days else None,
        "seeds": sorted({run.seed for run in records.runs}),
    }


def _task_name(task: Any) -> str:
    return str(task["name"]) if isinstance(task, dict) and "name" in task else str(task)


def recipe_of(runs: list[RunRecord]) -> dict[str, Any] | None:
    """What an arm is trained with, without the fields of a single run; None if no manifest tells."""
    manifest = next((run.manifest for run in runs if run.manifest), None)
    if manifest is None:
        return None
    return {name: value for name, value in manifest["recipe"].items() if name not in OF_A_RUN}


def rule_of(runs: list[RunRecord]) -> dict[str, Any] | None:
    """The clipping rule of an arm, `name` and parameters, as its runs recorded it; None without one."""
    return next((run.manifest["rule"] for run in runs if run.manifest and run.manifest.get("rule")), None)


def rule_curves(by_arm: dict[str, list[RunRecord]]) -> dict[str, dict[str, Any]]:
    """By arm, the curve of its rule as its runs recorded it; of arms with the same rule, the first one's."""
    curves: dict[str, dict[str, Any]] = {}
    for arm, runs in by_arm.items():
        curve = next(
            (run.manifest["rule_curve"] for run in runs if run.manifest and "rule_curve" in run.manifest), None
        )
        if curve is not None and curve not in curves.values():
            curves[arm] = curve
    return curves


def configuration(by_arm: dict[str, list[RunRecord]]) -> dict[str, dict[str, Any]]:
    """The fields of the recipe in which arms differ, each with its value by arm (None if the default is taken)."""
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
