"""The command line, a file per command.

Every command imports what it needs when it runs, so that `--help` answers at once.
"""

import os
import sys

from rich.console import Console
from rich.panel import Panel

from abcgrpo.cli import (  # noqa: F401  each registers its command
    compare,
    doctor,
    evaluate,
    export,
    grade,
    recipes,
    report,
    rules,
    run,
    status,
    train,
)
from abcgrpo.cli.app import app
from abcgrpo.errors import UserError

INTERRUPTED = (130, 143)
"""Exit codes after Ctrl-C and SIGTERM."""


def main() -> None:
    """Run a command. A mistake that the user can correct is a paragraph on standard error and exit code 2."""
    if "ABCGRPO_PROGRESS_FILE" in os.environ:  # started by `run`
        from abcgrpo.progress import end_with_parent

        end_with_parent()
    try:
        app()
    except UserError as error:
        _tell_parent(str(error))
        if sys.stderr.isatty():
            panel = Panel(str(error), title="abcgrpo", border_style="red", highlight=False)
            Console(stderr=True).print(panel, markup=False)
        else:
            print(f"abcgrpo: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as ended:
        if ended.code in INTERRUPTED:
            print("Interrupted. Give the same command again to resume.", file=sys.stderr)
        raise
    except Exception as error:
        _tell_parent(f"{type(error).__name__}: {error}")
        raise


def _tell_parent(message: str) -> None:
    if "ABCGRPO_PROGRESS_FILE" in os.environ:  # started by `run`, which sums a failed job up by this
        from abcgrpo.progress import report_error

        report_error(message)
