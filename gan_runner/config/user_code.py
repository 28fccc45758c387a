"""Errors in the packages that a command line allows: they keep their file and line."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from gan_runner.runs.printable import echo

_LEFT_OUT = ("hydra", "importlib")  # packages whose frames say nothing about an error of a user


def in_user_code(error: BaseException, allow: Sequence[str]) -> bool:
    """Return whether an error passed through a function of an allowed package.

    Args:
        error: as it was caught.
        allow: prefixes of targets, such as "my_package.".
    """
    return _frame(error, allow) is not None


def place_in_user_code(error: BaseException, allow: Sequence[str]) -> str:
    """Return ` (FILE:LINE)` of the innermost frame in an allowed package; "" without one."""
    frame = _frame(error, allow)
    return f" ({frame.filename}:{frame.lineno})" if frame is not None else ""


def keep_traceback(error: BaseException, allow: Sequence[str]) -> None:
    """Print the traceback of an error in an allowed package and exit with status 1.

    Other errors are left to the caller, who says them in one line.
    """
    if in_user_code(error, allow):
        echo(short_traceback(error), error=True, end="")
        sys.exit(1)


def short_traceback(error: BaseException, *, whole: bool = False) -> str:
    """Return the traceback of an error, without the frames of Hydra unless `whole`."""
    report = traceback.TracebackException.from_exception(error)
    part: traceback.TracebackException | None = report
    while part is not None and not whole:
        kept = [frame for frame in part.stack if not set(Path(frame.filename).parts) & {*_LEFT_OUT}]
        part.stack = traceback.StackSummary.from_list(kept)
        part = part.__cause__ or part.__context__
    return "".join(report.format())


def _frame(error: BaseException, allow: Sequence[str]) -> traceback.FrameSummary | None:
    """Return the innermost frame of an error in a module of an allowed package."""
    prefixes, found = tuple(allow), None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if prefixes and f"{frame.f_globals.get('__name__', '')}.".startswith(prefixes):
            code = frame.f_code
            found = traceback.FrameSummary(code.co_filename, line, code.co_name)
    return found
