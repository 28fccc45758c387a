"""Atomic writes: a crash, a kill or a full disk leaves either the old file or the new one.

No write follows a link: a run directory may come from a stranger, with links in it.
"""

from __future__ import annotations

import os
import stat
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO
from uuid import uuid4

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows does not have the flag


def atomic_write(path: Path, data: bytes, *, shared: bool = False) -> None:
    """Write to a temporary file in the folder of `path`, flush it to the disk, then rename it.

    Args:
        path: file to replace.
        data: its new contents.
        shared: whether several processes may write this file; the last one wins.

    Raises:
        OSError: the write failed; `path` is unchanged.
    """
    with atomic_path(path, shared=shared) as partial, partial.open("wb") as file:
        file.write(data)


@contextmanager
def atomic_path(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield a temporary path; at the end, flush that file to the disk and rename it to `path`.

    A file that one process writes has a fixed temporary name, so that the next attempt replaces
    the leftover of a killed one. A shared file gets a new temporary name each time. The temporary
    file is created exclusively; a link or a file of that name is removed first.

    Args:
        path: file to replace; unchanged if the body raises.
        shared: whether several processes may write this file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    own = f".{uuid4().hex[:8]}" if shared else ""
    partial = path.with_name(f"{path.name}{own}.partial")
    create_file(partial)
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
    except BaseException:
        if shared:
            partial.unlink(missing_ok=True)
        raise
    _flush(path.parent)


def create_file(path: Path) -> None:
    """Create an empty file exclusively, in place of a file or a link of that name.

    Raises:
        OSError: a folder has that name, or the file cannot be created.
    """
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW
    os.close(os.open(path, flags, 0o666))


def append_text(path: Path) -> TextIO:
    """Open a text file to append whole lines to it; never through a link.

    Raises:
        ValueError: the path is a link, or is not a regular file.
        OSError: the file cannot be opened.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ValueError(f"{path}: is a link or not a regular file; remove it")
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_FOLLOW
    return os.fdopen(os.open(path, flags, 0o666), "a", encoding="utf-8", buffering=1)


def _flush(path: Path) -> None:
    """Make a file's writes or a folder's renames survive a power cut, where the system can."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cache_folder() -> Path:
    """Return the folder of cached results: GAN_RUNNER_CACHE, or ~/.cache/gan_runner.

    Cached files are checked for damage, and never executed. They are not signed: everyone who can
    write to a shared folder can replace decoded images and classifiers, and so decides the numbers.
    The files are readable by their owner alone, so that each user has a cache by default.
    """
    return expanded(os.environ.get("GAN_RUNNER_CACHE") or "~/.cache/gan_runner")


def expanded(path: str | Path) -> Path:
    """Return a path with `~` replaced by the home folder, or by `temporary_folder` without one.

    A container may give a process a user number without a name, and no HOME.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        warnings.warn(f"HOME is not set; {path} is {temporary_folder()} instead", stacklevel=2)
        return temporary_folder()


def writable(folder: Path) -> Path:
    """Return a folder; where it cannot be written, warn and return `temporary_folder`."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not existing.is_dir() or os.access(existing, os.W_OK | os.X_OK):
        return folder
    warnings.warn(
        f"{existing} cannot be written; files are cached in {temporary_folder()} instead",
        stacklevel=2,
    )
    return temporary_folder()


def temporary_folder() -> Path:
    """Return a folder below the system's temporary one that this user alone can write into.

    Raises:
        OSError: a folder of that name belongs to another user, or is a link.
    """
    folder = Path(tempfile.gettempdir()) / f"gan_runner-{getattr(os, 'getuid', int)()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    own = getattr(os, "getuid", lambda: found.st_uid)() == found.st_uid
    if not (stat.S_ISDIR(found.st_mode) and own) or found.st_mode & 0o022:
        raise OSError(f"{folder} belongs to another user; set GAN_RUNNER_CACHE to another folder")
    return folder
