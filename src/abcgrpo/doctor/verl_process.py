"""What a process sees that imports verl, as every worker of verl does: run by `abcgrpo.doctor.verl`, prints JSON.

Each step that fails is a key with the error in one line. Nothing of `abcgrpo.verl` is imported before verl is.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# verl, and the trl that it wants, are not in the environment of the type checker.

import json
import traceback

PLUGIN, LOSS = "abcgrpo.verl", "abc_grpo"


def main() -> None:
    """`loss_of`: which function has the loss's name; `verl`, `plugin`, `engine`: errors."""
    found: dict[str, str | None] = {}
    try:
        from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY
    except Exception as error:
        found["verl"] = _one_line(error)
    else:
        loss = POLICY_LOSS_REGISTRY.get(LOSS)
        found["loss_of"] = loss and f"{loss.__module__}.{loss.__qualname__}"
        for name, step in (("plugin", _import_plugin), ("engine", _import_engine)):
            try:
                step()
            except Exception as error:
                found[name] = _one_line(error)
    print("\n" + json.dumps(found))


def _import_plugin() -> None:
    import abcgrpo.verl  # noqa: F401


def _import_engine() -> None:
    """What the FSDP engine imports when it starts: of trl too, whenever any version of trl is installed."""
    import verl.workers.engine_workers  # noqa: F401
    from verl.utils.import_utils import is_trl_available

    if is_trl_available():
        try:
            from trl.experimental.ppo import AutoModelForCausalLMWithValueHead
        except ImportError:
            from trl import AutoModelForCausalLMWithValueHead  # noqa: F401


def _one_line(error: Exception) -> str:
    return " ".join("".join(traceback.format_exception_only(error)).split())


if __name__ == "__main__":
    main()
