"""Writing files so that a crash, a kill or a full disk leaves the old one or the new one, whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write to a temporary file beside `path`, flush it to the disk, then rename it.

    Raises:
        OSError: nothing has changed at `path`.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(data)


@contextmanager
def replacing(path: Path, *, suffix: str = ".partial") -> Iterator[Path]:
    """A temporary path to write to, which becomes `path` at the end, flushed to the disk.

    Args:
        path: untouched if anything is raised.
        suffix: of the temporary path; processes that write the same file need their own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + suffix)
    yield partial
    _flush(partial)
    partial.replace(path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    """Make writes, or a folder's renames, survive a power cut, where the system lets us."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
