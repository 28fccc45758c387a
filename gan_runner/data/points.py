"""Points from a file of numbers: .npy, .npz, .csv or .txt."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, TextIO

import numpy as np
import torch
from annotated_types import Gt, Lt

from gan_runner.core import Dataset, DataSpec
from gan_runner.data.split import hold_out
from gan_runner.runs.arrays import limit_of, read_npy, read_npz
from gan_runner.runs.files import expanded
from gan_runner.runs.text_tables import is_number

_TEXT = (".csv", ".txt", ".tsv")
_CELL = re.compile(r"at row (\d+), column")
_NEAR = 10.0  # largest mean, and spread or its inverse, of a coordinate without a warning
_MAX_BYTES = 1 << 30  # of the numbers of a file, at least 4 for each
_UNPACKED = 100  # times its file that an array above `arrays.MAX_UNPACKED` may take
_AT_ONCE = 1_000_000  # numbers that are in float64 at once
_LISTED = 8  # coordinates that a warning gives numbers for


def points(
    *,
    path: str,
    shift: float | list[float] = 0.0,
    scale: float | list[float] = 1.0,
    heldout: Annotated[float, Gt(0), Lt(1)] = 0.1,
) -> Dataset:
    """Load points, one per row, as (x - `shift`) / `scale`.

    Samples, metrics such as W1 and plots are in these units: with the defaults, in the file's own.

    Args:
        path: an .npy file (N, D); an .npz file with one such array, or with `x` (N, D) and labels
            `y` (N,), whole numbers from 0; or a text file of N lines, numbers separated by commas,
            semicolons or spaces, with or without a line of names.
        shift: a number, or one per coordinate.
        scale: a positive number, or one per coordinate.
        heldout: share of the held-out set.

    Raises:
        ValueError: the file is missing or not such a file, or has fewer than two rows. Values are
            not finite, or take more than 1 GiB.
    """
    file = expanded(path)
    try:
        stored, labels = _read(file)
        _check_shape(stored)
        y = None if labels is None else _checked_labels(labels, len(stored))
        x = _moved(stored, shift, scale)
    except (ValueError, OSError) as error:
        reason = f"{error.strerror}; set another path" if isinstance(error, OSError) else error
        raise ValueError(f"dataset.path={path}: {reason}") from error
    _warn_of_units(x, path, stored)
    n_classes = 0 if y is None else int(y.max()) + 1
    if n_classes < 2:  # one class tells nothing
        y, n_classes = None, 0
    names = tuple(map(str, range(n_classes)))
    train, rest = hold_out(torch.from_numpy(x), None if y is None else torch.from_numpy(y), heldout)
    return Dataset(DataSpec(file.name, x.shape[1:], n_classes, class_names=names), train, rest)


def _read(file: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the numbers of a file as they are stored, and labels or None."""
    if not file.exists():
        raise ValueError("the path does not exist; set the path of a file of numbers")
    if not file.is_file():
        raise ValueError("is not a regular file; for a folder of images, set dataset=image_folder")
    ending, limit = file.suffix.lower(), min(_MAX_BYTES, limit_of(file, times=_UNPACKED))
    if ending == ".npy":
        return read_npy(file, limit=limit), None
    if ending == ".npz":
        arrays = read_npz(file, _names, limit=limit)
        return arrays.get("x", next(iter(arrays.values()))), arrays.get("y")
    if ending in _TEXT:
        return _table(file), None
    raise ValueError(f"should end in .npy, .npz or {', '.join(_TEXT)}; save it as one of them")


def _names(names: Sequence[str]) -> list[str]:
    if "x" in names:
        return [name for name in ("x", "y") if name in names]
    if len(names) != 1:
        raise ValueError(f"has no array x (has {', '.join(names) or 'none'}); name the points x")
    return list(names)


def _table(file: Path) -> np.ndarray:
    """Read a text file of numbers (N, D); a first line of names is skipped."""
    if file.stat().st_size > _MAX_BYTES // 4:  # a number of two characters takes eight bytes
        raise ValueError(f"has more than {_MAX_BYTES // 4:,} bytes of text; save it as .npy")
    try:
        with file.open(encoding="utf-8-sig") as lines:
            skipped, delimiter = _layout(lines.readlines(1 << 16))
            lines.seek(0)
            return _numbers(lines, skipped, delimiter)
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8 text; save it in that encoding") from error


def _numbers(lines: TextIO, skipped: int, delimiter: str | None) -> np.ndarray:
    """Read the numbers (N, D) below the first `skipped` lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no rows: refused with its shape
        try:
            return np.loadtxt(lines, delimiter=delimiter, skiprows=skipped, ndmin=2, quotechar='"')
        except UnicodeDecodeError:
            raise
        except ValueError as error:
            reason = str(error).partition("\n")[0].partition(";")[0].rstrip(".")
            # numpy counts rows from 0 where it names a column, and from 1 elsewhere
            reason = _CELL.sub(lambda match: f"at row {int(match[1]) + 1}, column", reason)
            raise ValueError(f"{reason}; below any names, lines are rows of numbers") from error


def _layout(lines: Sequence[str]) -> tuple[int, str | None]:
    """Return how many lines precede the numbers, and what separates them; None: spaces."""
    content = [(k, line) for k, line in enumerate(lines) if line.partition("#")[0].strip()]
    if not content:
        return 0, None
    number, first = content[0]
    delimiter = next((mark for mark in ";," if mark in first + content[-1][1]), None)
    cells = [cell.strip().strip('"') for cell in first.strip("\n").split(delimiter)]
    if len(content) > 1 and cells[0] == "" and delimiter:
        raise ValueError(
            "its first column has no name, as an index; save the points alone, in pandas with"
            " index=False"
        )
    return (0 if any(map(is_number, cells)) else number + 1), delimiter


def _check_shape(stored: np.ndarray) -> None:
    if stored.ndim != 2:
        advice = "; for one coordinate, array.reshape(-1, 1)" if stored.ndim == 1 else ""
        raise ValueError(f"has shape {stored.shape}; should be (N, D), a point per row{advice}")
    if len(stored) < 2 or not stored.shape[1]:
        raise ValueError(f"has shape {stored.shape}; at least 2 points are needed")


def _checked_labels(y: np.ndarray, rows: int) -> np.ndarray:
    """Return labels as int64, which are 0 to K - 1 and each occur."""
    if y.shape != (rows,):
        raise ValueError(f"y has shape {y.shape}; should be ({rows},), a label per row of x")
    if y.dtype.kind not in "iu":
        raise ValueError(f"y is {y.dtype}; labels should be whole numbers, y.astype(int)")
    different = np.unique(y)
    if different[0] != 0 or different[-1] != len(different) - 1:
        raise ValueError(
            f"y has {len(different)} labels from {different[0]} to {different[-1]}; number them"
            " from 0 without gaps, numpy.unique(y, return_inverse=True)[1]"
        )
    return y.astype(np.int64)


def _moved(
    stored: np.ndarray, shift: float | list[float], scale: float | list[float]
) -> np.ndarray:
    """Return (x - shift) / scale (N, D) float32, computed in float64."""
    for key, value in (("shift", shift), ("scale", scale)):
        if isinstance(value, list) and len(value) != stored.shape[1]:
            raise ValueError(
                f"has {stored.shape[1]} coordinates, and dataset.{key} {len(value)} numbers; give"
                " one number, or one per coordinate"
            )
    if np.min(scale) <= 0:
        raise ValueError(f"dataset.scale={scale}: should be positive")
    with np.errstate(over="ignore", invalid="ignore"):
        x = np.empty(stored.shape, np.float32)
        for rows in _blocks(x):
            x[rows] = (stored[rows] - np.asarray(shift)) / np.asarray(scale)
    bad = int((~np.isfinite(x).all(axis=1)).sum())
    if bad:
        raise ValueError(
            f"{bad:,} of {len(x):,} rows have values that are NaN, infinite or beyond float32;"
            " remove these rows"
        )
    return x


def _warn_of_units(x: np.ndarray, path: str, stored: np.ndarray) -> None:
    """Warn of coordinates far from mean 0 and spread 1, with the words that move them there."""
    means, spreads = _moments(x)
    varied = spreads[spreads > 0]
    if not len(varied):
        return
    if max(np.abs(means).max(), varied.max(), 1 / varied.min()) <= _NEAR:
        return
    advice = "subtract each coordinate's mean and divide by its standard deviation"
    if len(means) <= _LISTED:
        shifts, scales = _moments(stored)
        pairs = {"shift": shifts, "scale": np.where(spreads > 0, scales, 1.0)}
        texts = (f"dataset.{k}=[{','.join(f'{n:.4g}' for n in v)}]" for k, v in pairs.items())
        advice = f"add {' '.join(map(shlex.quote, texts))}; samples, W1 and plots are then in these"
        advice += " units"
    warnings.warn(
        f"dataset.path={path}: coordinates have means up to {np.abs(means).max():.3g} in size and"
        f" standard deviations from {varied.min():.3g} to {varied.max():.3g}; networks learn best"
        f" near 0 and 1: {advice}",
        stacklevel=3,
    )


def _blocks(x: np.ndarray) -> Iterator[slice]:
    """Yield all rows, few at a time."""
    rows = max(1, _AT_ONCE // x.shape[1])
    return (slice(start, start + rows) for start in range(0, len(x), rows))


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and standard deviations (D,) in float64, without a copy of all points (N, D)."""
    means: np.ndarray = x.mean(axis=0, dtype=np.float64)
    squares = sum(((x[rows] - means) ** 2).sum(axis=0) for rows in _blocks(x))
    return means, np.sqrt(squares / len(x))
