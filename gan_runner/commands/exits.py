"""The end of `gan-run`: every error of the user becomes one line and an exit status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from gan_runner.config.compose import config_dir
from gan_runner.config.errors import USAGE_ERROR, Interrupted, explain
from gan_runner.runs.printable import echo


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Explain errors of the user in one line each; bugs keep their traceback."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here whole
    try:
        yield
    except Interrupted as stop:
        leave(str(stop), stop.exit_status)
    except KeyboardInterrupt:
        leave("interrupted", 128 + signal.SIGINT)
    except Exception as error:
        message = explain(error, sys.argv[1:], config_dir())
        if message is None:
            raise
        leave(message, getattr(error, "exit_status", USAGE_ERROR))


def leave(message: str, status: int) -> NoReturn:
    """Print a line to standard error and exit."""
    echo(f"gan-run: {message}", error=True)
    sys.exit(status)
