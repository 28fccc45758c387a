"""Decoded tables of images, kept as memory-mapped files so that they are decoded once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from gan_runner.runs.tensors import read_tensors, write_tensors


class Table(NamedTuple):
    """Pixels (N, C, H, W) uint8, labels (N,) or None, and facts that JSON can hold."""

    x: Tensor
    y: Tensor | None
    facts: dict[str, Any]


def cached(path: Path, make: Callable[[], Table]) -> Table:
    """The table in a file; it is made and written first, if the file is not there or not whole.

    The file's name must say what the table depends on. Several processes may do this at once: each
    writes a file of its own and renames it. A folder that cannot be written to costs a warning.
    """
    table = _read(path)
    if table is not None:
        return table
    table = make()
    try:
        _write(path, table)
    except OSError as error:
        warnings.warn(f"the decoded images are not cached: {error}", stacklevel=2)
        return table
    return _read(path) or table


def _read(path: Path) -> Table | None:
    found = read_tensors(path)
    if found is None or "x" not in found[0]:
        return None  # damaged: made anew
    tensors, facts = found
    return Table(tensors["x"], tensors.get("y"), facts)


def _write(path: Path, table: Table) -> None:
    labels = {} if table.y is None else {"y": table.y}
    write_tensors(path, {"x": table.x, **labels}, table.facts)
