"""Arrays from .npy and .npz files, whose sizes are checked before anything is allocated.

A compressed file of megabytes may unpack to gigabytes. The header of each array states its size.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from tokenize import TokenError  # of a damaged header
from typing import IO

import numpy as np

MAX_UNPACKED = 128 << 20
"""Largest array that is read from a file of any size, in bytes; see `limit_of`."""

_NUMBER = 4  # bytes that a number counts at least: smaller types become float32

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_ENCRYPTED = 0x1  # bit of a zip member's flags
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, LookupError, TypeError, AttributeError,
    RuntimeError, SyntaxError, TokenError, OverflowError, MemoryError,
)  # fmt: skip


def limit_of(path: Path, *, times: int) -> int:
    """Return how many bytes a file may become: `MAX_UNPACKED`, or so many times its size."""
    return max(MAX_UNPACKED, times * path.stat().st_size if path.is_file() else 0)


def read_npy(path: Path, *, limit: int = MAX_UNPACKED) -> np.ndarray:
    """Read the array of an .npy file; objects are never unpickled.

    Args:
        path: a regular file.
        limit: largest number of bytes of the array, at least 4 for each number.

    Raises:
        ValueError: it is not an array of numbers, is cut off, or is above the limit.
    """
    _check_regular(path)
    try:
        with path.open("rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size, limit)
    except _DAMAGED as error:
        raise ValueError(f"is not an .npy file ({type(error).__name__})") from error


def read_npz(
    path: Path, choose: Callable[[Sequence[str]], Sequence[str]], *, limit: int = MAX_UNPACKED
) -> dict[str, np.ndarray]:
    """Read arrays of an .npz file, by name; objects are never unpickled.

    Args:
        path: a regular file.
        choose: from the names of all arrays to those that are read.
        limit: largest number of bytes of all arrays together, at least 4 for each number.

    Raises:
        ValueError: as of `read_npy` or of `choose`, or the file is encrypted, or compressed with
            another method than Deflate.
    """
    _check_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            arrays: dict[str, np.ndarray] = {}
            for name in choose([*members]):
                rest = limit - sum(max(_NUMBER, a.itemsize) * a.size for a in arrays.values())
                arrays[name] = _member(archive, members[name], rest)
            return arrays
    except _DAMAGED as error:
        raise ValueError(f"is not an .npz file ({type(error).__name__})") from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> np.ndarray:
    if info.flag_bits & _ENCRYPTED:
        raise ValueError("is encrypted; save it again with numpy.savez")
    # the decoders of other methods do not stop at a number of bytes
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("is not compressed with Deflate; save it again with numpy.savez")
    try:
        with archive.open(info) as file:
            return _read(file, info.file_size, limit)
    except ValueError as error:
        raise ValueError(f"array {info.filename.removesuffix('.npy')}: {error}") from error


def _read(file: IO[bytes], available: int, limit: int) -> np.ndarray:
    """Read one array, `available` bytes with its header, after the header was checked."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"has format {version}, that of named fields; save it as plain numbers")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("Object arrays are never loaded; save numbers, array.astype(float)")
    if dtype.kind not in "fiub":
        raise ValueError(f"is {dtype}; should be numbers")
    size, needed = dtype.itemsize * prod(shape), max(_NUMBER, dtype.itemsize) * prod(shape)
    if min(shape, default=0) < 0 or needed > limit:
        raise ValueError(f"the array takes {needed:,} bytes; at most {limit:,} are read of it")
    if size > available - file.tell():
        raise ValueError(f"is cut off: its array takes {size:,} bytes")
    file.seek(0)
    array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _check_regular(path: Path) -> None:
    if path.exists() and not path.is_file():  # a pipe may never end
        raise ValueError("is not a regular file")
