"""Cache of decoded image tables as memory-mapped files, so that images are decoded once."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_runner.runs.files import writable
from gan_runner.runs.tensors import read_tensors, write_tensors

_HASH = "sha256"  # key of the hash among the facts of a file


class Table(NamedTuple):
    """Pixels (N, C, H, W) uint8, labels (N,) int64 or None, and facts as JSON types."""

    x: Tensor
    y: Tensor | None
    facts: dict[str, Any]


def cached(
    path: Path, make: Callable[[], Table], *, fits: Callable[[Table], bool] = lambda _: True
) -> Table:
    """Return the table in a file; make and write it first if the file is missing or not usable.

    The file name must identify everything that the table depends on. Concurrent processes are safe:
    each writes a temporary file and renames it. Where the folder is not writable, the file is in
    `files.temporary_folder` instead, with a warning.

    A file is usable if it holds the SHA-256 of its own contents, which detects damage, and fits. A
    table that someone forged passes; see `files.cache_folder`.

    Args:
        path: file of the table.
        make: function that makes the table.
        fits: whether a table that was read has the expected shapes and types.
    """
    table = _read(path)
    if table is not None and fits(table):
        return table
    if path.exists():
        warnings.warn(f"{path} is not a usable table of images; it is made anew", stacklevel=2)
    if (folder := writable(path.parent)) != path.parent:
        return cached(folder / path.name, make, fits=fits)
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
    expected = facts.pop(_HASH, None)
    table = Table(tensors["x"], tensors.get("y"), facts)
    if table.x.dtype != torch.uint8 or (table.y is not None and table.y.dtype != torch.int64):
        return None
    return table if expected == _hash(table) else None


def _write(path: Path, table: Table) -> None:
    labels = {} if table.y is None else {"y": table.y}
    write_tensors(path, {"x": table.x, **labels}, {**table.facts, _HASH: _hash(table)})


def _hash(table: Table) -> str:
    """Return the SHA-256 of a table's facts, shapes, types, pixels and labels."""
    digest = sha256(json.dumps(table.facts, sort_keys=True).encode())
    for tensor in (table.x, table.y):
        if tensor is not None:
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
