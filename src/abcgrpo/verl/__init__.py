"""ABC-GRPO in verl, without a fork: importing this package registers the policy loss `abc_grpo` with verl.

| module       | subject                                                                    |
|--------------|----------------------------------------------------------------------------|
| `config`     | the four thresholds as verl's policy-loss configuration                    |
| `loss`       | the objective under verl's calling convention, and its registration        |
| `advantages` | the estimators of advantages that verl's contract allows                   |
| `reward`     | `compute_score`: the task's grader as verl's reward                        |

Advantages of verl's own, reductions, importance weights, rollout, checkpoints and everything else are verl's.

Raises:
    ImportError: verl is missing, or is a version without what this package builds on.
    RuntimeError, ValueError: another function holds the name `abc_grpo`, or that of an estimator, in verl.
"""

try:
    from abcgrpo.verl import advantages
    from abcgrpo.verl.config import ABCGRPOPolicyLossConfig
    from abcgrpo.verl.loss import LOSS_NAME, abc_grpo, register
except ModuleNotFoundError as error:
    raise ImportError(
        f"abcgrpo.verl cannot be imported, because {error.name} is missing. verl has an environment of its own: "
        "pip install -c constraints-verl.txt 'abcgrpo[verl]'; then `abcgrpo doctor --engine verl` checks it."
    ) from error

register()
advantages.register()

__all__ = ["LOSS_NAME", "ABCGRPOPolicyLossConfig", "abc_grpo", "register"]
