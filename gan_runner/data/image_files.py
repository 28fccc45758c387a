"""Files below a directory or in a zip file, read one by one; nothing is extracted."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath

from gan_runner.runs.images import check_bytes, file_bytes

Reader = Callable[[str], bytes]
"""Function from the relative name of a file to its contents."""


def open_files(path: str) -> tuple[list[str], Reader]:
    """Return relative file names, and a function that reads a file within the limits of bytes.

    Hidden files and the clutter of operating systems are omitted. Links in a directory are
    followed, also out of it.

    Raises:
        ValueError: the path is neither a directory nor a zip file.
    """
    source = Path(path).expanduser()
    if source.is_dir():
        names, read = _files_below(source), lambda name: file_bytes(source / name)
    elif zipfile.is_zipfile(source):
        archive = zipfile.ZipFile(source)
        names = [i.filename for i in archive.infolist() if not i.is_dir()]
        read = partial(_member, archive)
    elif source.exists():
        raise ValueError(
            f"dataset.path={path}: the path is neither a directory nor a zip file; set the path of"
            " a directory or a zip file of images"
        )
    else:
        raise ValueError(
            f"dataset.path={path}: the path does not exist; set the path of a directory or a zip"
            " file of images"
        )
    return sorted(n for n in names if not _is_clutter(n)), read


def _files_below(folder: Path) -> list[str]:
    """List relative names of all files; links to folders are followed, each folder once."""
    names, seen = [], set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:
            folders.clear()
            continue
        seen.add(real)
        paths = [Path(parent, file) for file in files]
        names += [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
    return names


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a member, at most as many bytes as the archive declares for it.

    Raises:
        TooLarge: the archive declares more than `images.MAX_BYTES`.
        NotImplementedError: the compression is neither none nor deflate. Python's decoders of the
            others do not stop at a number of bytes.
    """
    info = archive.getinfo(name)
    check_bytes(info.file_size)
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise NotImplementedError(f"compression {info.compress_type}")
    with archive.open(info) as file:
        return file.read(info.file_size)  # `ZipFile.read` would decompress all that there is


def _is_clutter(name: str) -> bool:
    """Return whether a file is hidden, or was added to the archive by an operating system."""
    parts = PurePosixPath(name).parts
    clutter = {"__MACOSX", "Thumbs.db", "desktop.ini"}
    return any(part.startswith(".") or part in clutter for part in parts)
