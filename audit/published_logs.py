"""The paper's claims beside what the training logs of its authors say: for those four logs and no others.

    python audit/published_logs.py LOGS > claims.md

LOGS holds `Qwen3-1.7B-Base-grpo/trainer_state.json` and the three others (`logs` in `claims.yaml`). The claims are
data, in `claims.yaml`; how each figure is derived from a pair of runs is a function here.
"""

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.event_shares import QUADRANTS
from abcgrpo.files import read_yaml
from abcgrpo.report.content.training import LENGTH
from abcgrpo.report.reading.quadrants import clip_shares_of
from abcgrpo.report.reading.records import RunRecord, load
from abcgrpo.report.text.markup import markdown

AGREEMENT = {True: "agrees", False: "differs", None: "not claimed of it"}


@dataclass(frozen=True)
class Pair:
    """The two published runs from one base."""

    model: str
    grpo: RunRecord
    abc: RunRecord


@dataclass(frozen=True)
class Derived:
    """A figure from the logs, and the steps it is made of."""

    value: float
    steps: str
    detail: str = ""


def published_claims(runs: list[RunRecord]) -> dict[str, Any] | None:
    """Each claim beside its figure for every model both of whose logs are among the runs; None without such a pair.

    - `checkable`: claim, place, stated, unit, definition, and `found` by model: value, steps, detail, agrees (None
      where the claim is of the other model).
    - `uncheckable`: claim, reason; `remarks`: sentences.
    - `models`: by model, the names of the two arms.
    - `summary`: where claims and logs agree and where not, in sentences.
    """
    content = read_yaml(Path(__file__).with_name("claims.yaml"))
    pairs = _pairs(runs, content["logs"])
    if not pairs:
        return None
    checkable = []
    for claim in content["checkable"]:
        found = {}
        for pair in pairs:
            derived = DERIVATIONS[claim["derivation"]](pair)
            # The bound takes in the rounding of the stated figure, and of the subtraction.
            close = abs(derived.value - claim["stated"]) <= claim["within"] + 1e-9
            agrees = close if claim.get("model") in (None, pair.model) else None
            found[pair.model] = {
                "value": derived.value,
                "steps": derived.steps,
                "detail": derived.detail,
                "agrees": agrees,
            }
        kept = ("claim", "place", "stated", "unit", "definition")
        checkable.append({name: claim.get(name) for name in kept} | {"found": found})
    return {
        "paper": content["paper"],
        "models": {pair.model: {"GRPO": pair.grpo.arm, "ABC-GRPO": pair.abc.arm} for pair in pairs},
        "checkable": checkable,
        "uncheckable": content["uncheckable"],
        "remarks": content["remarks"],
        "summary": _summary(checkable, pairs),
    }


def _pairs(runs: list[RunRecord], logs: list[dict[str, Any]]) -> list[Pair]:
    known: dict[str, dict[str, RunRecord]] = {}
    for log in logs:
        for run in runs:
            if (
                run.steps == log["steps"]
                and run.metrics.get("train_runtime", {}).get(run.steps) == log["train_runtime"]
            ):
                known.setdefault(log["model"], {})[log["method"]] = run
    return [Pair(model, by["GRPO"], by["ABC-GRPO"]) for model, by in known.items() if len(by) == 2]


def _summary(checkable: list[dict[str, Any]], pairs: list[Pair]) -> list[str]:
    sentences = []
    for pair in pairs:
        found = {claim["claim"]: claim["found"][pair.model] for claim in checkable}
        compared = [each["agrees"] for each in found.values() if each["agrees"] is not None]
        sentences.append(
            f"{pair.model}: the logs agree with {sum(compared)} of the {len(compared)} claims of it they can check."
        )
        for agrees, words in ((True, "Agree"), (False, "Differ")):
            listed = [
                f"“{claim['claim']}” (logs: {value_text(claim, found[claim['claim']])})"
                for claim in checkable
                if found[claim["claim"]]["agrees"] is agrees
            ]
            if listed:
                sentences.append(f"{words}: {'; '.join(listed)}.")
    return sentences


def entropy_ratio(pair: Pair) -> Derived:
    """Last logged entropy, ABC-GRPO over GRPO."""
    grpo, abc = pair.grpo.metrics["entropy"], pair.abc.metrics["entropy"]
    high, low = abc[max(abc)], grpo[max(grpo)]
    return Derived(high / low, f"step {max(abc)}", f"{high:.4f} ÷ {low:.4f}")


def steps_with_higher_entropy(pair: Pair) -> Derived:
    """Share of the steps at which ABC-GRPO's entropy is above GRPO's."""
    grpo, abc = pair.grpo.metrics["entropy"], pair.abc.metrics["entropy"]
    steps = [step for step in abc if step in grpo]
    lower = [step for step in steps if abc[step] <= grpo[step]]
    detail = f"{len(steps) - len(lower)} of {len(steps)} steps"
    if lower:
        detail += f"; always after step {max(lower)}"
    return Derived(1 - len(lower) / len(steps), f"steps {steps[0]} to {steps[-1]}", detail)


def share(*quadrants: str) -> Callable[[Pair], Derived]:
    """The share of clip events of some quadrants in ABC-GRPO's log."""

    def derived(pair: Pair) -> Derived:
        shares, steps = clip_shares_of(pair.abc.metrics)
        values = [shares[quadrant] for quadrant in quadrants]
        return Derived(sum(value for value in values if value is not None), f"{steps} steps with events")

    return derived


def q4_is_largest(pair: Pair) -> Derived:
    """Whether Q4 has the largest share in ABC-GRPO's log."""
    shares, steps = clip_shares_of(pair.abc.metrics)
    known = {quadrant: value for quadrant, value in shares.items() if value is not None}
    listed = ", ".join(f"{quadrant.upper()} {100 * value:.1f}%" for quadrant, value in known.items())
    return Derived(float(max(known, key=lambda each: known[each]) == "q4"), f"{steps} steps with events", listed)


def grpo_logs_four_quadrants(pair: Pair) -> Derived:
    """Whether GRPO's log tells all four quadrants."""
    known = [quadrant.upper() for quadrant in QUADRANTS if f"clip/{quadrant}" in pair.grpo.metrics]
    return Derived(float(len(known) == 4), f"{pair.grpo.steps} steps", f"GRPO's log tells {' and '.join(known)} only")


def steps_per_rollout(pair: Pair) -> Derived:
    """Optimizer steps between two logged rewards."""
    gaps = set()
    for run in (pair.grpo, pair.abc):
        steps = list(run.metrics["reward"])
        gaps |= {after - before for before, after in itertools.pairwise(steps)}
    return Derived(float(max(gaps)), "every logged reward", f"{len(pair.abc.metrics['reward'])} rollouts each")


def same_settings(pair: Pair) -> Derived:
    """Whether the two logs could differ in the clipping alone, as far as logs tell."""
    grpo, abc = pair.grpo, pair.abc
    first = all(
        grpo.metrics[name][min(grpo.metrics[name])] == abc.metrics[name][min(abc.metrics[name])]
        for name in ("reward", LENGTH, "entropy")
    )
    rates = grpo.metrics["learning_rate"] == abc.metrics["learning_rate"]
    same = first and rates and grpo.steps == abc.steps
    return Derived(
        float(same), f"steps 1 to {abc.steps}", f"peak learning rate {max(abc.metrics['learning_rate'].values()):g}"
    )


DERIVATIONS: dict[str, Callable[[Pair], Derived]] = {
    "entropy_ratio": entropy_ratio,
    "steps_with_higher_entropy": steps_with_higher_entropy,
    "share_q1": share("q1"),
    "share_q2": share("q2"),
    "share_q3": share("q3"),
    "share_q4": share("q4"),
    "share_q2_and_q4": share("q2", "q4"),
    "q4_is_largest": q4_is_largest,
    "grpo_logs_four_quadrants": grpo_logs_four_quadrants,
    "steps_per_rollout": steps_per_rollout,
    "same_settings": same_settings,
}


def stated_text(claim: dict[str, Any]) -> str:
    """What the paper states, for a table: a figure with its unit, or yes."""
    return _text(claim["stated"], claim["unit"], digits=1)


def figure_text(claim: dict[str, Any], found: dict[str, Any]) -> str:
    """What the logs say, with its detail, and whether that agrees."""
    detail = f" ({found['detail']})" if found["detail"] else ""
    return f"{value_text(claim, found)}{detail}: {AGREEMENT[found['agrees']]}"


def value_text(claim: dict[str, Any], found: dict[str, Any]) -> str:
    """What the logs say, with its unit."""
    return _text(found["value"], claim["unit"], digits=2 if claim["unit"] == "×" else 1)


def _text(value: float, unit: str | None, digits: int) -> str:
    if unit is None:
        return "yes" if value else "no"
    if unit == "%":
        return f"{round(100 * value, digits):g}%"
    return f"{value:.{digits}f} {unit}" if unit == "×" else f"{value:g} {unit}"


def page(claims: dict[str, Any]) -> str:
    """The claims as Markdown: the summary, the table, what the logs cannot check."""
    models = list(claims["models"])
    lines = []
    for claim in claims["checkable"]:
        cells = [figure_text(claim, claim["found"][model]) for model in models]
        lines.append([f"{claim['claim']} ({claim['place']})", stated_text(claim), *cells, claim["definition"]])
    unchecked = [f"- {each['claim']}: {each['reason']}." for each in claims["uncheckable"]]
    return "\n\n".join(
        [
            "# What the published logs say",
            *claims["summary"],
            markdown([claims["paper"], "stated", *models, "derived as"], lines),
            *claims["remarks"],
            "What the logs cannot check:",
            "\n".join(unchecked),
        ]
    )


def published_runs(directory: Path) -> list[RunRecord]:
    """The published runs whose logs are in a directory.

    Raises:
        UserError: there are none.
    """
    logs = [(path.parent.name, path) for path in sorted(directory.glob("Qwen3-*-Base-*/trainer_state.json"))]
    if not logs:
        raise UserError(f"{directory} holds none of the published logs, Qwen3-…-Base-…/trainer_state.json.")
    return load([], logs).runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", type=Path, help="the directory of the published logs")
    try:
        claims = published_claims(published_runs(parser.parse_args().logs))
    except UserError as error:
        parser.error(str(error))
    if claims is None:
        parser.error("these are other logs than those that the authors published, or only one of a pair")
    print(page(claims))


if __name__ == "__main__":
    main()
