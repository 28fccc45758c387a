"""The end of `gan-run`: every error of the user becomes one line and an exit status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import NoReturn

from hydra.errors import HydraException

from gan_runner.config.command_line import allowed_targets
from gan_runner.config.compose import config_dir
from gan_runner.config.errors import FAILURE, USAGE_ERROR, Interrupted, explain
from gan_runner.config.user_code import in_user_code, short_traceback
from gan_runner.runs.printable import echo

_whole = ContextVar("whole", default=False)
"""True where every error shows its whole traceback."""


@contextmanager
def one_line_errors(*, whole: bool = False) -> Iterator[None]:
    """Explain errors of the user in one line each; bugs and a user's own code keep their traceback.

    Args:
        whole: print the whole traceback of every error, as --traceback asks.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here whole
    _whole.set(whole)
    try:
        yield
    except Interrupted as stop:
        leave(str(stop), stop.exit_status)
    except KeyboardInterrupt:
        leave("interrupted", 128 + signal.SIGINT)
    except Exception as error:
        is_own = in_user_code(error, _allowed())
        message = None if is_own else explain(error, sys.argv[1:], config_dir())
        if message is None:
            echo(short_traceback(error, whole=whole), error=True, end="")
            sys.exit(FAILURE)
        leave(message, getattr(error, "exit_status", USAGE_ERROR), error)


def _allowed() -> list[str]:
    """Return the prefixes of targets that the command line allows; [] where it cannot be read."""
    with suppress(ValueError, HydraException):
        return allowed_targets(sys.argv[1:])
    return []


def leave(message: str, status: int, error: BaseException | None = None) -> NoReturn:
    """Print a line to standard error and exit; with --traceback, first the error's traceback."""
    if error is not None and _whole.get():
        echo(short_traceback(error, whole=True), error=True, end="")
    echo(f"gan-run: {message}", error=True)
    sys.exit(status)
