"""Atomic writes: a crash, a kill or a full disk leaves the old file or the new one, whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


def atomic_write(path: Path, data: bytes, *, shared: bool = False) -> None:
    """Write to a temporary file beside `path`, flush it to the disk, then rename it.

    Args:
        path: of the file.
        data: all of it.
        shared: whether several processes may write this file; the last one counts.

    Raises:
        OSError: nothing has changed at `path`.
    """
    with atomic_path(path, shared=shared) as partial, partial.open("wb") as file:
        file.write(data)


@contextmanager
def atomic_path(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """A temporary path to write to, which becomes `path` at the end, flushed to the disk.

    What one process alone writes has one temporary name, so that what a kill leaves is written
    over by the next attempt. What is shared has a name of its own each time.

    Args:
        path: untouched if anything is raised.
        shared: whether several processes may write this file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    own = f".{uuid4().hex[:8]}" if shared else ""
    partial = path.with_name(f"{path.name}{own}.partial")
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
    except BaseException:
        if shared:
            partial.unlink(missing_ok=True)
        raise
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


def cache_folder() -> Path:
    """Where results that take long are kept: GAN_RUNNER_CACHE, or ~/.cache/gan_runner."""
    return Path(os.environ.get("GAN_RUNNER_CACHE") or "~/.cache/gan_runner").expanduser()
