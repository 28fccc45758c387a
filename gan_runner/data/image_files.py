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

_ENCRYPTED = 0x1  # bit of a zip member's flags
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
_CLUTTER = {
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "lost+found", "__pycache__",
    "system volume information", "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle",
    "#snapshot",
}  # fmt: skip
"""Names that systems and file servers give to their own files and folders, in small letters."""

_CLUTTER_STARTS = (".", "$recycle")
_MAGIC = {
    b"PK": "a zip file whose end is missing, cut off in a copy or a download",
    b"\x1f\x8b": "a gzip file, to be unpacked first",
    b"7z\xbc\xaf": "a 7z file, to be unpacked first",
    b"Rar!": "a RAR file, to be unpacked first",
    b"BZh": "a bzip2 file, to be unpacked first",
    b"\xfd7zXZ": "an xz file, to be unpacked first",
}


class UnusableFile(ValueError):
    """Error for a file whose contents cannot be read; its text is the reason."""


def open_files(path: str) -> tuple[list[str], Reader]:
    """Return relative file names, and a function that reads a file within the limits of bytes.

    Hidden files and the clutter of operating systems are omitted. Links in a directory are
    followed, also out of it.

    Raises:
        ValueError: the path is neither a directory nor a zip file, or nothing in the archive can be
            unpacked.
    """
    try:
        source = Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"dataset.path={path}: {error}; write the folder out") from error
    if source.is_dir():
        names, read = _files_below(source), lambda name: read_file(source / name)
    elif source.is_file() and zipfile.is_zipfile(source):  # a pipe would be waited for
        archive = _opened(path, source)
        names = [i.filename for i in archive.infolist() if not i.is_dir()]
        read = partial(_member, archive)
        _check_members(path, archive, [n for n in names if not _is_clutter(n)])
    else:
        problem = f"dataset.path={path}: the path {_kind(source)}"
        raise ValueError(f"{problem}; set the path of a directory or a zip file of images")
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
        kept = [path for path in paths if path.is_file() or not path.exists()]
        names += [path.relative_to(folder).as_posix() for path in kept]
    return names


def read_file(path: Path) -> bytes:
    """Return the contents of a file; see `images.file_bytes`.

    Raises:
        UnusableFile: the path is a link to a file that does not exist.
    """
    if path.is_symlink() and not path.exists():
        raise UnusableFile("a link to a missing file")
    return file_bytes(path)


def _kind(source: Path) -> str:
    """Return what is wrong with a path that is neither a directory nor a zip file."""
    if not source.exists():
        return "does not exist"
    if not source.is_file():
        return "is not a regular file"
    with source.open("rb") as file:
        start = file.read(6)
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return f"is neither a directory nor a zip file: it is {kind}"
    return "is neither a directory nor a zip file"


def _opened(path: str, source: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise ValueError(
            f"dataset.path={path}: the zip file is damaged ({error}); pack it again"
        ) from error


def _check_members(path: str, archive: zipfile.ZipFile, names: list[str]) -> None:
    """Refuse an archive in which every file is encrypted or compressed in an unsupported way.

    Raises:
        ValueError: with the reason of the first file.
    """
    reasons = [_problem(archive.getinfo(name)) for name in names]
    if reasons and all(reasons):
        raise ValueError(
            f"dataset.path={path}: its files are {reasons[0]}, which is not supported; unpack them"
            " and set the path of the directory, or zip them again with Deflate and no password"
        )


def _problem(info: zipfile.ZipInfo) -> str:
    """Return why a member cannot be read; empty if it can.

    Python's decoders of other methods than Deflate do not stop at a number of bytes.
    """
    if info.flag_bits & _ENCRYPTED:
        return "encrypted"
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        method = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        return f"compressed with {method}"
    return ""


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a member, at most as many bytes as the archive declares for it.

    Raises:
        TooLarge: the archive declares more than `images.MAX_BYTES`.
        UnusableFile: it is encrypted, or the compression is neither none nor Deflate.
    """
    info = archive.getinfo(name)
    check_bytes(info.file_size)
    if problem := _problem(info):
        raise UnusableFile(problem)
    with archive.open(info) as file:
        return file.read(info.file_size)  # `ZipFile.read` would decompress all that there is


def _is_clutter(name: str) -> bool:
    """Return whether a file is hidden, or was added by an operating system or a file server."""
    parts = map(str.lower, PurePosixPath(name).parts)
    return any(part.startswith(_CLUTTER_STARTS) or part in _CLUTTER for part in parts)
