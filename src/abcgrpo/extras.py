"""The optional parts of the installation: what a command needs is asked for before it does any work."""

from collections.abc import Sequence
from importlib.util import find_spec

from abcgrpo.errors import UserError

MODULES = {
    "grading": ("sympy",),
    "trl": ("trl", "transformers", "accelerate", "datasets", "safetensors", "scipy", "sympy"),
    "server": ("openai",),
    "ray": ("ray",),
    "reasoning-gym": ("reasoning_gym",),
    "report": ("altair", "vl_convert", "jinja2", "scipy", "tensorboard"),
}
"""What each extra of this package brings, by the names that are imported."""


def require_extras(what: str, *extras: str) -> None:
    """Refuse to begin without what the extras bring.

    Args:
        what: the command or option that needs them, as the message has it.
        *extras: keys of `MODULES`.

    Raises:
        UserError: something is not installed; the message has the command that installs it.
    """
    require_modules(what, [module for extra in extras for module in MODULES[extra]], ",".join(extras))


def require_modules(what: str, modules: Sequence[str], extras: str) -> None:
    """Refuse to begin without these modules, which the extras bring.

    Raises:
        UserError: one of them is not installed.
    """
    missing = [module for module in dict.fromkeys(modules) if find_spec(module) is None]
    if missing:
        raise UserError(
            f"{what} needs packages that are not installed ({', '.join(missing)}). Install them with: "
            f"pip install 'abcgrpo[{extras}]'"
        )
