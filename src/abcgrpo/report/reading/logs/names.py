"""Other programs' names for what this package has names for. docs/report.md shows the same table.

| here                         | verl                                            |
|------------------------------|-------------------------------------------------|
| `entropy`                    | `actor/entropy`, before 0.5 `actor/entropy_loss`|
| `reward`                     | `critic/rewards/mean`, else `critic/score/mean` |
| `completions/mean_length`    | `response_length/mean`                          |
| `completions/clipped_ratio`  | `response_length/clip_ratio`                    |
| `clip/q1` … `clip/q4`        | `actor/clip_q1` … `actor/clip_q4`               |
| `grad_norm`, `learning_rate` | `actor/grad_norm`, `actor/lr`                   |
| `shadow/…`                   | `actor/mass/…` ÷ `actor/mass/all`               |

W&B and TensorBoard have Hugging Face trainers' metrics with `train/` before them, which is taken off.
"""

from abcgrpo.report.reading.logs.series import Series

VERL = {
    "entropy": ("actor/entropy", "actor/entropy_loss"),
    "reward": ("critic/rewards/mean", "critic/score/mean"),
    "completions/mean_length": ("response_length/mean",),
    "completions/clipped_ratio": ("response_length/clip_ratio",),
    "grad_norm": ("actor/grad_norm",),
    "learning_rate": ("actor/lr",),
    **{f"clip/q{quadrant}": (f"actor/clip_q{quadrant}",) for quadrant in (1, 2, 3, 4)},
}


MASS = "actor/mass/"
"""What verl logs of shadow rules: sums, whose quotient by `WHOLE` is the share (`abcgrpo.verl.loss.metrics`)."""
WHOLE = "actor/mass/all"


OTHER_NAMES = {other for others in VERL.values() for other in others}
"""What is read under another name."""


def with_our_names(series: Series) -> Series:
    """The series under the names that the report knows; others' names are kept beside them."""
    plain = {_without_prefix(name): values for name, values in series.items()}
    found: Series = {}
    for ours, theirs in VERL.items():
        name = next((each for each in theirs if each in plain), None)
        if name and ours not in plain:
            found[ours] = plain[name]
    return plain | found | _shadow_shares(plain)


def _shadow_shares(series: Series) -> Series:
    """`shadow/removed/…` and `shadow/distance/…` from verl's masses; 0 where a step's mass is 0."""
    whole = series.get(WHOLE, {})
    return {
        f"shadow/{name.removeprefix(MASS)}": {
            step: value / (whole[step] or 1.0) for step, value in values.items() if step in whole
        }
        for name, values in series.items()
        if name.startswith(MASS) and name != WHOLE
    }


def _without_prefix(name: str) -> str:
    """Hugging Face trainers write `reward` as the tag `train/reward` and `eval_reward` as `eval/reward`."""
    return "eval_" + name[5:] if name.startswith("eval/") else name.removeprefix("train/")
