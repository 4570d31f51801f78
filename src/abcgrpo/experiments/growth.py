"""A study that grows: what may be added to an experiment with results, what would mix settings, what changed when.

`EXPERIMENT` holds the experiment as it is now and, in its `HISTORY`, each change that was made after results existed.
"""

from collections.abc import Iterable
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.experiments.specification import EvaluationSection, Experiment
from abcgrpo.files import plain
from abcgrpo.run_files import GRADED_WITH, differences


def changes(known: dict[str, Any], experiment: Experiment, where: str, trained: bool = True) -> list[str]:
    """What of an experiment is other than in its `experiment.json`, in words.

    Arms, conditions, seeds, questions and samples may be added, and the values of k, which are computed from samples,
    may be anything. As long as no run is finished `reward_funcs` may be others: the base's answers are graded again.

    Args:
        known: what `experiment.json` holds.
        experiment: what is wanted now.
        where: the directory, for messages.
        trained: whether a training run is finished.

    Raises:
        UserError: a change that would mix settings, or leave out what has been run.
    """
    wanted, graded_with = plain(experiment.model_dump(mode="json")), experiment.graded_with
    refused: list[str] = []
    found: list[str] = []
    for name, now in wanted.items():
        before = known.get(name)
        if before == now and (name != "arms" or list(before or {}) == list(now)):  # of which the first is the baseline
            continue
        if name in ("arms", "conditions"):
            _names(name, before or {}, now, refused, found)
        elif name == "seeds":
            _listed("seeds", before or [], now, refused, found)
        elif name == "resources":
            if (was := (before or {}).get("processes", 1)) != now["processes"]:
                refused.append(f"processes of a job were {was}, are {now['processes']}")
        elif name == "reward_funcs" and not trained:
            found.append(f"reward_funcs was {before!r}, is {now!r}; the base's answers are graded again")
        elif name == "evaluation":
            _evaluation(before or {}, now, refused, found)
        else:
            refused += differences({name: before}, {name: now})
    if refused:
        listed = "\n".join(f"  {each}" for each in refused)
        raise UserError(
            f"{where} holds runs of this experiment with other settings:\n{listed}\nRuns are neither mixed nor left "
            f"out: arms, conditions, seeds, questions and samples may be added, and k changed. For anything else give "
            f"another --output."
        )
    if known.get(GRADED_WITH, graded_with) != graded_with and known.get("reward_funcs") == wanted["reward_funcs"]:
        rewarded = "; finished runs were rewarded by what it was before" if trained else ""
        found.append(f"the grading code has changed, and answers are graded again{rewarded}")
    return found


def _names(kind: str, before: dict[str, Any], now: dict[str, Any], refused: list[str], found: list[str]) -> None:
    one = kind[:-1]
    if kind == "conditions" and not before:
        refused.append("conditions: the existing runs have none")
        return
    if kind == "arms" and before and next(iter(before)) != next(iter(now)):
        refused.append(f"the first arm, which others are compared with, was {next(iter(before))}, is {next(iter(now))}")
    refused += [f"{one} {name} is left out" for name in before if name not in now]
    refused += [
        f"{one} {name} has changed: {', '.join(differences(before[name], now[name]))}"
        for name in before
        if name in now and before[name] != now[name]
    ]
    if added := [name for name in now if name not in before]:
        found.append(f"added {kind if len(added) > 1 else one} {', '.join(added)}")


def _listed(kind: str, before: Iterable[Any], now: list[Any], refused: list[str], found: list[str]) -> None:
    left_out = [each for each in before if each not in now]
    if left_out:
        refused.append(f"{kind} {', '.join(map(str, left_out))} left out")
    if added := [each for each in now if each not in before]:
        found.append(f"added {kind if len(added) > 1 else kind[:-1]} {', '.join(map(str, added))}")


def _evaluation(before: dict[str, Any], now: dict[str, Any], refused: list[str], found: list[str]) -> None:
    for name, field in EvaluationSection.model_fields.items():
        was, wanted = before.get(name, None if field.is_required() else field.default), now[name]
        if was == wanted or name in ("concurrency", "retries", "timeout"):  # of requests: they change no answer
            continue
        if name == "pass_at_k":
            found.append(f"k was {', '.join(map(str, was or []))}, is {', '.join(map(str, wanted))}")
        elif name == "benchmark" and was is not None and set(_several(was)) < set(_several(wanted)):
            found.append(f"added benchmark {', '.join(each for each in _several(wanted) if each not in _several(was))}")
        elif name in ("questions", "samples") and was is not None and (wanted is None or wanted > was):
            found.append(f"{name}: {'all' if wanted is None else wanted} instead of {was}")
        else:
            refused += [f"evaluation: {each}" for each in differences({name: was}, {name: wanted})]


def _several(benchmark: str | list[str] | None) -> list[str]:
    return [benchmark] if isinstance(benchmark, str) else benchmark or []
