"""All figures of finished evaluations: the content of `results.json`, which tables only lay out. No torch."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from abcgrpo.errors import UserError, unknown_name
from abcgrpo.evaluation.clusters import in_words
from abcgrpo.evaluation.intervals import (
    of_differences,
    over_questions,
    over_questions_and_samples,
    sampling_error,
    unseen_variance,
)
from abcgrpo.evaluation.metrics import PASS_AT_K, average, majority_vote, pass_at_first_k, pass_at_k
from abcgrpo.evaluation.store import Evaluation

UNBIASED, FIRST_K = PASS_AT_K


@dataclass(frozen=True)
class Metrics:
    """What is reported of an evaluation.

    Raises:
        UserError: an unknown estimator, no k, or a k that there are too few samples for.
    """

    samples: int
    ks: Sequence[int]
    estimator: str = UNBIASED
    """`unbiased`, or `first-k` for the figures of the paper's released script."""
    seed: int = 0
    """Seed of the generator that resamples for intervals over samples."""

    def __post_init__(self) -> None:
        if self.estimator not in PASS_AT_K:
            raise unknown_name("estimator", self.estimator, PASS_AT_K, "pass-at-k")
        for k in self.ks:
            if not 1 <= k <= self.samples:
                raise UserError(f"Pass@{k} needs at least {max(k, 1)} samples per question, not {self.samples}.")

    @property
    def names(self) -> list[str]:
        """The columns of the paper's table, in order."""
        return [f"avg@{self.samples}", *(f"pass@{k}" for k in self.ks)]

    def shares(self, name: str) -> Callable[[Evaluation], np.ndarray]:
        """Each question's value of a column."""
        k = int(name.rpartition("@")[2])
        if name.startswith("avg"):
            return lambda evaluation: average(evaluation.correct, evaluation.samples)
        if self.estimator == FIRST_K:
            return lambda evaluation: pass_at_first_k(evaluation.right, k)
        return lambda evaluation: pass_at_k(evaluation.correct, evaluation.samples, k)


def powers_of_two(samples: int) -> list[int]:
    """2, 4, 8, … up to the number of samples."""
    return [2**power for power in range(1, samples.bit_length())]


def results(evaluations: dict[str, dict[str, Evaluation]], metrics: Metrics) -> dict[str, Any]:
    """Everything that is reported.

    - `benchmarks.<benchmark>.models.<model>`: see `scores_of`.
    - `benchmarks.<benchmark>.differences`: each model minus the first, question by question.
    - `average.<model>`: the mean of each column over the benchmarks, where there are several.

    Args:
        evaluations: by benchmark, then by model.
        metrics: what is reported.
    """
    benchmarks = {
        name: {
            "models": {model: scores_of(each, metrics) for model, each in by_model.items()},
            "differences": _differences(by_model, metrics),
        }
        for name, by_model in evaluations.items()
    }
    models = next(iter(evaluations.values()))
    average_of = {
        model: {
            name: float(np.mean([each["models"][model][name]["value"] for each in benchmarks.values()]))
            for name in metrics.names
        }
        for model in models
    }
    return {
        "samples": metrics.samples,
        "columns": metrics.names,
        "pass_at_k": metrics.estimator,
        "interval_seed": metrics.seed,
        "benchmarks": benchmarks,
        "average": average_of if len(benchmarks) > 1 else None,
        "notes": _notes(evaluations, metrics),
    }


def scores_of(evaluation: Evaluation, metrics: Metrics) -> dict[str, Any]:
    """Every figure of one evaluation.

    Columns and `majority` have value, low and high over questions; Pass@k with k < n also `questions_and_samples`
    (low and high) and, with k ≤ n/2, `sampling_error`: the standard error that other samples of the same questions
    would have (None for larger k, where no unbiased estimate exists).
    """
    found: dict[str, Any] = {}
    for name in metrics.names:
        found[name] = over_questions(metrics.shares(name)(evaluation), evaluation.clusters)._asdict()
    if metrics.estimator == UNBIASED:
        for k in metrics.ks:
            if k < evaluation.samples:
                generator = np.random.default_rng([metrics.seed, k])
                both = over_questions_and_samples(
                    evaluation.correct, evaluation.samples, k, generator, evaluation.clusters
                )
                found[f"pass@{k}"] |= {
                    "questions_and_samples": {"low": both.low, "high": both.high},
                    "sampling_error": sampling_error(evaluation.correct, evaluation.samples, k),
                }
    stopped = evaluation.reasons["timeout"] + evaluation.reasons["killed"]
    return found | {
        "majority": over_questions(majority_vote(evaluation.answers, evaluation.right), evaluation.clusters)._asdict(),
        "questions": len(evaluation.questions),
        "truncated": evaluation.truncated,
        "mean_tokens": evaluation.mean_tokens,
        "grader_timeouts": stopped,
        "reasons": dict(sorted(evaluation.reasons.items())),
        "unparsable_golds": evaluation.unparsable_golds,
        "settings": evaluation.settings,
    }


def suspicions(evaluation: Evaluation, trained: bool = False) -> list[str]:
    """What makes an evaluation say nothing, or hints at a mistake in the task rather than in the model.

    Args:
        evaluation: of one model.
        trained: whether a training run made the model.
    """
    total, right = sum(evaluation.reasons.values()), int(evaluation.right.sum())
    if total and evaluation.reasons["no_answer"] == total:
        return [
            "EVERY answer ended in no_answer: the grader looks for a form that the prompt does not ask for, or the "
            "answers are truncated. The scores say nothing about the model."
        ]
    if total and evaluation.reasons["failed"] == total:
        return ["the grade FAILED on every answer. The figures say nothing about the model."]
    warnings = []
    if total and 2 * evaluation.reasons["no_answer"] > total:
        warnings.append(
            "MOST answers ended in no_answer: the figures show the form of the answers more than the model's ability."
        )
    if 2 * evaluation.truncated > 1:
        warnings.append(
            "MOST answers were truncated at the length limit: allow more tokens, or read the figures as what is solved "
            "within the limit."
        )
    if right == 0:
        if trained:
            meaning = (
                "Training had no signal, or it broke the model: look at the logged reward and at the samples. The "
                "score says nothing about the rule."
            )
        else:
            meaning = (
                "Training then has nothing to learn from, and arms cannot be told apart: look at the samples, or use "
                "easier problems."
            )
        return [*warnings, f"NOTHING was solved. {meaning}"]
    if right == evaluation.right.size:
        return ["EVERYTHING was solved: there is nothing left to learn or to compare. Use harder problems."]
    return warnings


def suspicion_of_training(rewards: Iterable[float]) -> str | None:
    """What makes a training run say nothing about its rule, by the mean reward of each logged step; None otherwise."""
    rewards = list(rewards)
    if rewards and not any(rewards):
        return (
            "The reward was 0 at EVERY logged step: nothing was solved, so training had no signal. Look at the model's "
            "answers, or use easier problems."
        )
    return None


def _differences(by_model: dict[str, Evaluation], metrics: Metrics) -> list[dict[str, Any]]:
    (first, reference), *_ = by_model.items()
    return [
        {"model": model, "minus": first}
        | {name: of_differences(values, reference.clusters)._asdict() for name, values in by_column.items()}
        for model, by_column in _by_question(by_model, metrics).items()
    ]


def _by_question(by_model: dict[str, Evaluation], metrics: Metrics) -> dict[str, dict[str, np.ndarray]]:
    """Each model minus the first, (questions,) by model and column, of those measured on the same questions."""
    (_, reference), *others = by_model.items()
    return {
        model: {name: metrics.shares(name)(each) - metrics.shares(name)(reference) for name in metrics.names}
        for model, each in others
        if each.questions == reference.questions
    }


def _notes(evaluations: dict[str, dict[str, Evaluation]], metrics: Metrics) -> list[str]:
    every = [each for by_model in evaluations.values() for each in by_model.values()]
    notes = ["Intervals are 95%, over questions: they cover other questions of the same kind."]
    for name, by_model in evaluations.items():
        first, *_ = by_model.values()
        notes.append(f"{name}: {in_words(len(first.questions), first.clusters)}")
        notes += [
            f"{name}: no difference for {model}, which was measured on other questions than {next(iter(by_model))}."
            for model, each in by_model.items()
            if each.questions != first.questions
        ]
        for model, by_column in _by_question(by_model, metrics).items():
            if few := [column for column, values in by_column.items() if unseen_variance(values) > 0]:
                notes.append(
                    f"{name}: fewer than four questions carry the difference of {model} in {', '.join(few)}. These "
                    f"intervals are wider than 95% intervals have to be. Only more questions make them narrower."
                )
    if metrics.estimator == FIRST_K:
        notes.append("Pass@k is whether any of the first k samples is right: one draw, not the mean over all draws.")
    elif metrics.samples in metrics.ks:
        notes.append(
            f"Pass@{metrics.samples} uses all samples at once: it only says whether any of them was right, and "
            f"has no interval over samples."
        )
    if stopped := sum(each.reasons["timeout"] + each.reasons["killed"] for each in every):
        notes.append(f"The grader stopped {stopped} comparisons at a limit; they count as wrong.")
    if unparsable := sorted({problem for each in every for problem in each.unparsable_golds}):
        notes.append(f"Left out, since their gold answers cannot be parsed: {', '.join(unparsable)}.")
    for name, by_model in evaluations.items():
        for model, each in by_model.items():
            notes += [f"{model} on {name}: {warning}" for warning in suspicions(each)]
    for template in sorted({str(each.settings.get("prompt_template", {}).get("text")) for each in every}):
        notes.append(f"Prompt: {template!r}.")
    return notes
