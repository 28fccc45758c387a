"""Standard output and error of a command, which may be full, closed, or gone with a terminal."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from gan_runner.runs.printable import printable
from gan_runner.runs.provenance import version_line

_PLAIN = {
    "±": "+-",
    "\xd7": "x",
    "→": "->",
    "·": ".",
    "\u2013": "-",
    "—": "-",
    "…": "...",
    "≤": "<=",
}
"""Spellings for encodings such as ASCII, which bare containers and cron use."""

_TRAINS = "gan-run"  # its result is a run directory; that of the other commands is their output


@contextmanager
def terminal(program: str) -> Iterator[None]:
    """Let a command end well whatever becomes of its output; a decorator of its `main`.

    An output that cannot be written is named on the other one, and discarded from then on. A run
    continues. Other commands end with exit status 1, except where the reader closed the pipe.
    Plots go to files: a notebook's MPLBACKEND, which matplotlib may not find, is not used.
    """
    os.environ["MPLBACKEND"] = "Agg"
    _open_standard_descriptors()
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        out = _Output(before[0] or nowhere, f"{program}: standard output")
        err = _Output(before[1] or nowhere, f"{program}: standard error")
        sys.stdout, sys.stderr = out, err
        try:
            _answer_version()
            yield
        finally:
            out.flush()
            err.flush()
            sys.stdout, sys.stderr = before
    if out.is_full and program != _TRAINS:
        sys.exit(1)


def _answer_version() -> None:
    """Print the version and exit, where the command line is `--version`."""
    if sys.argv[1:] == ["--version"]:
        print(version_line())
        sys.exit(0)


def _open_standard_descriptors() -> None:
    """Open the closed ones of 0, 1 and 2 on the null device.

    Otherwise the next file that is opened, such as a log, would be standard output for libraries.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number


def _encodable(text: str, encoding: str) -> str:
    """Return text with a plain spelling, or an escape, of each character not in the encoding."""
    plain = (_PLAIN.get(c, c) if c.encode(encoding, "ignore") == b"" else c for c in text)
    return "".join(plain).encode(encoding, "backslashreplace").decode(encoding)


@contextmanager
def printable_output() -> Iterator[None]:
    """Escape control characters of standard output, where Hydra prints what files say."""
    before = sys.stdout
    sys.stdout = _Printable(before)
    try:
        yield
    finally:
        sys.stdout = before


class _Printable:
    """A text stream that escapes control characters."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text as `printable` returns it."""
        self._stream.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Output:
    """A text stream that is replaced by the null device once it cannot be written.

    Args:
        stream: standard output or error.
        name: of the command and the stream, for the message.

    Attributes:
        is_full: True after an error other than that of a closed pipe.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name, self.is_full = stream, name, False

    def write(self, text: str) -> int:
        """Write text, or discard it."""
        try:
            return self._stream.write(text)
        except UnicodeEncodeError as error:
            return self.write(_encodable(text, error.encoding))
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """Flush the stream; nothing where it was closed."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)
        except ValueError:  # closed by someone else
            return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _give_up(self, error: OSError) -> None:
        """Send the rest, and all that is buffered, to the null device; name the cause once."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)
        with suppress(OSError):
            self._stream.flush()
        if self.is_full or error.errno == errno.EPIPE:
            return
        self.is_full = True
        other = sys.stdout if sys.stderr is self else sys.stderr
        print(f"{self._name}: {error.strerror}; the rest of it is discarded", file=other)
