"""Cache of decoded image tables as memory-mapped files, so that images are decoded once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from gan_runner.runs.tensors import read_tensors, write_tensors


class Table(NamedTuple):
    """Pixels (N, C, H, W) uint8, labels (N,) or None, and facts as JSON types."""

    x: Tensor
    y: Tensor | None
    facts: dict[str, Any]


def cached(path: Path, make: Callable[[], Table]) -> Table:
    """Return the table in a file; make and write it first if the file is missing or damaged.

    The file name must identify everything that the table depends on. Concurrent processes are safe:
    each writes a temporary file and renames it. A folder that is not writable causes a warning.
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
    contents = read_tensors(path)
    if contents is None or "x" not in contents[0]:
        return None  # missing or damaged
    tensors, facts = contents
    return Table(tensors["x"], tensors.get("y"), facts)


def _write(path: Path, table: Table) -> None:
    labels = {} if table.y is None else {"y": table.y}
    write_tensors(path, {"x": table.x, **labels}, table.facts)
