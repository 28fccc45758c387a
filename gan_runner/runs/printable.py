"""Text from files, made safe to print: a terminal obeys control characters."""

from __future__ import annotations

import re
import shlex
import sys

# C0 except tab and newline, delete, C1, marks and overrides of direction, lone surrogates.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: object) -> str:
    r"""Return text with each control character as its escape, such as \x1b or \u202e."""
    return _CONTROL.sub(_escape, str(text))


def printable_cell(text: object) -> str:
    r"""Return text on one line: tabs and newlines are escaped too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def quoted(path: object) -> str:
    """Return a path as a word of a shell's command, in quotes where it needs them."""
    return shlex.quote(str(path))


def echo(text: object, *, error: bool = False, end: str = "\n", flush: bool = False) -> None:
    """Print text that may come from files.

    Args:
        text: any text; control characters in it are escaped.
        error: print to standard error. Lines of a message after its first are indented, so that no
            newline in the name of a file begins a message of its own.
        end: as of `print`.
        flush: as of `print`.
    """
    plain = printable(text)
    if error and end:  # a traceback brings its own line ends
        plain = plain.replace("\n", "\n  ")
    print(plain, file=sys.stderr if error else sys.stdout, end=end, flush=flush)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
