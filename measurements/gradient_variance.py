"""How much of the gradient is noise: its variance over repeated rollouts of the same problems from one checkpoint.

    python measurements/gradient_variance.py --model runs/credit/arms/GRPO/seed-41/training/checkpoint-960
    python measurements/gradient_variance.py --rollouts 64 --estimators group prefix_tree optimal_token_baseline

For each estimator of advantages, K rollouts of `--problems` problems × `--group` answers are drawn with the same seed,
so that all estimators see the same answers, and the gradient of a whole rollout is taken at r = 1; the weights never
move. With g_1 … g_K these gradients and ḡ their mean:

    trace    = Σ_k ‖g_k − ḡ‖² / (K − 1)          the trace of the gradient's covariance: the variance of one rollout
    signal   = ‖ḡ‖² − trace / K                   the squared norm of the true gradient, without bias
    relative = trace / signal                     1/relative is a signal-to-noise ratio

Printed with jackknife standard errors over rollouts, and each trace and relative variance as a multiple of the first
estimator's, whose rollouts are the same. Traces of estimators that point elsewhere on average (`prefix_share`,
`entropy_weighted`) are those of another gradient; `relative` is what can be compared.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

from abcgrpo.advantages import ESTIMATORS
from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer
from abcgrpo.trl.component import Component

sys.path.insert(0, str(Path(__file__).parents[1] / "timings"))
from step import countdown_trainer


class Variance(NamedTuple):
    """Of K gradients."""

    trace: float
    """Σ‖g_k − ḡ‖² / (K − 1)."""
    signal: float
    """‖ḡ‖² − trace / K; not positive where K is too small to see the gradient among its noise."""

    @property
    def relative(self) -> float:
        """trace / signal; NaN where no signal is seen."""
        return self.trace / self.signal if self.signal > 0 else math.nan


def variance(gram: Tensor) -> Variance:
    """The variance of K ≥ 2 gradients from their inner products; (K, K)."""
    count = len(gram)
    mean_square = gram.sum().item() / count**2
    trace = (gram.trace().item() - count * mean_square) / (count - 1)
    return Variance(trace, mean_square - trace / count)


def jackknife(statistic: Callable[[Tensor], float], number: int) -> float:
    """The standard error of a statistic of K rollouts, from leaving each one out; it is given the K − 1 that stay."""
    everyone = torch.arange(number)
    values = torch.tensor([statistic(everyone[everyone != left_out]) for left_out in range(number)], dtype=torch.double)
    return ((number - 1) / number * (values - values.mean()).square().sum()).sqrt().item()


class _Gradients(Component):
    """Keeps the gradient of each optimizer step."""

    name = "gradients"

    def __init__(self, trainer: Any) -> None:
        super().__init__(trainer)
        self.kept: list[Tensor] = []

    def gradient_computed(self, model: Any, norm: Any, metrics: Any) -> None:
        parts = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
        self.kept.append(torch.cat(parts).detach().clone())


class _Watched(ABCGRPOTrainer):
    def observers(self) -> list[Component]:
        self.gradients = _Gradients(self)
        return [*super().observers(), self.gradients]


def gram_of_gradients(model: str, estimator: str, options: argparse.Namespace) -> Tensor:
    """Inner products of the gradients of K rollouts; (K, K), float64."""
    trainer = countdown_trainer(
        _Watched,
        ABCGRPOConfig,
        options.rollouts,
        model,
        problems=options.problems,
        advantages=estimator,
        seed=options.seed,
        learning_rate=0.0,
        lr_scheduler_type="constant",
        optim="sgd",
        max_grad_norm=0.0,
        per_device_train_batch_size=options.problems * options.group // options.micro_batches,
        gradient_accumulation_steps=options.micro_batches,
        steps_per_generation=options.micro_batches,
        num_generations=options.group,
        shadow_rules=[],
        record_tokens=0,
        update_entropy=False,
        resume_minutes=math.inf,
    )
    trainer.train()
    gradients = torch.stack(trainer.gradients.kept)
    return (gradients @ gradients.T).double().cpu()


def compare(grams: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """For each estimator its variance, with standard errors, and as a multiple of the first one's."""
    first = next(iter(grams.values()))
    number = len(first)

    def part(gram: Tensor, kept: Tensor) -> Variance:
        return variance(gram[kept][:, kept])

    everyone, results = torch.arange(number), {}
    for name, gram in grams.items():
        statistics: dict[str, Callable[[Tensor], float]] = {
            "trace": lambda kept, gram=gram: part(gram, kept).trace,
            "signal": lambda kept, gram=gram: part(gram, kept).signal,
            "relative": lambda kept, gram=gram: part(gram, kept).relative,
            "trace_ratio": lambda kept, gram=gram: part(gram, kept).trace / part(first, kept).trace,
            "relative_ratio": lambda kept, gram=gram: part(gram, kept).relative / part(first, kept).relative,
        }
        results[name] = {}
        for key, statistic in statistics.items():
            results[name] |= {key: statistic(everyone), f"{key}_se": jackknife(statistic, number)}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="countdown-base", help="a checkpoint's directory, or a shipped base")
    parser.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=list(ESTIMATORS))
    parser.add_argument("--rollouts", type=int, default=32, help="K")
    parser.add_argument("--problems", type=int, default=64, help="of countdown, the same in every rollout")
    parser.add_argument("--group", type=int, default=8, help="answers to each problem")
    parser.add_argument("--micro-batches", type=int, default=4, help="of a rollout; they change no gradient")
    parser.add_argument("--seed", type=int, default=0, help="of the rollouts")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    if options.rollouts < 3:
        parser.error("standard errors need 3 rollouts or more")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    grams = {}
    for name in options.estimators:
        grams[name] = gram_of_gradients(options.model, name, options)
        print(f"{name}: {options.rollouts} rollouts", flush=True)
    figures = compare(grams)
    print(f"{'':<24} {'trace':>22} {'relative':>22} {'trace ÷ first':>16} {'relative ÷ first':>16}")
    for name, found in figures.items():
        shown = [f"{found[key]:.3g} ± {found[f'{key}_se']:.2g}" for key in ("trace", "relative")]
        ratios = [f"{found[key]:.2f} ± {found[f'{key}_se']:.2f}" for key in ("trace_ratio", "relative_ratio")]
        print(f"{name:<24} {shown[0]:>22} {shown[1]:>22} {ratios[0]:>16} {ratios[1]:>16}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
