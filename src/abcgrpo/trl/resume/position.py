"""Where a run stands between a rollout and its mini-batches: what TRL's trainer holds and its checkpoint leaves out.

What other components hold is theirs to keep: see `Component.state_dict`.
"""

from typing import Any

from trl.trainer.utils import strip_images_from_messages

from abcgrpo.trl.resume.packing import packable

COUNTERS = (
    "_step",
    "_current_train_step_time",
    "_total_loss_scalar",
    "_globalstep_last_logged",
    "_initial_num_input_tokens_seen",
)
"""Numbers of TRL's trainer that its checkpoint leaves out."""


def position_of(trainer: Any) -> dict[str, Any]:
    """The rollout and the place in it, and sums that are not logged yet; of this process."""
    generate_every = trainer.args.steps_per_generation * trainer.num_iterations
    used_up = trainer._step % generate_every == 0
    return {
        "counters": {name: getattr(trainer, name) for name in COUNTERS},
        "first_step": getattr(trainer, "_initial_global_step", 0),  # from which transformers ≥ 5.19 counts
        "rollout": None if used_up else trainer._buffered_inputs,
        "loss": trainer._tr_loss,
        "metrics": {mode: dict(values) for mode, values in trainer._metrics.items()},
        "completions": _completions_table(trainer),
    }


def restore_position(trainer: Any, position: dict[str, Any]) -> None:
    """Put back what `position_of` kept."""
    for name, value in position["counters"].items():
        setattr(trainer, name, value)
    trainer._initial_global_step = position["first_step"]  # of the run, not of this session
    trainer._buffered_inputs = position["rollout"]
    trainer._tr_loss = position["loss"].to(trainer.args.device)
    for mode, values in position["metrics"].items():
        trainer._metrics[mode].update(values)
    for name, values in position["completions"].items():
        if isinstance(values, list):
            trainer._logs[name].extend(values)
        else:
            for key, column in values.items():
                trainer._logs[name][key].extend(column)


def _completions_table(trainer: Any) -> dict[str, Any]:
    """What `log_completions` would show next. Images, dates and the like are not kept: a table ends no run."""
    if not trainer.log_completions:
        return {}
    logs = trainer._logs
    texts = {name: [strip_images_from_messages(m) for m in logs[name]] for name in ("prompt", "completion")}
    nested = {name: {key: list(values) for key, values in logs[name].items()} for name in ("rewards", "extra")}
    return packable(texts | nested) | {"advantages": list(logs["advantages"]), "images": [None] * len(logs["images"])}
