"""Decoded tables of images, kept as memory-mapped files so that they are decoded once."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gan_runner.files import replacing


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
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:  # maps the file; pages are read when touched
            names = file.keys()
            y = file.get_tensor("y") if "y" in names else None
            return Table(file.get_tensor("x"), y, json.loads(file.metadata()["facts"]))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError):
        return None  # damaged: made anew


def _write(path: Path, table: Table) -> None:
    tensors = {"x": table.x.contiguous()}
    if table.y is not None:
        tensors["y"] = table.y.contiguous()
    with replacing(path, suffix=f".{os.getpid()}.partial") as partial:
        try:
            save_file(tensors, partial, metadata={"facts": json.dumps(table.facts)})
        except SafetensorError as error:  # its own kind for a full disk, for one
            raise OSError(str(error)) from error
