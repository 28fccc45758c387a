"""Safetensors files with metadata: caches and exported weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_runner.runs.files import atomic_path


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return ({name: tensor}, facts) of a file; None if it is missing or incomplete.

    The file is memory-mapped: parts that are never used are never read.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = json.loads(file.metadata()["facts"])
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RecursionError):
        return None
    return (tensors, facts) if isinstance(facts, dict) else None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON facts; several processes may write the same file.

    Raises:
        OSError: the write failed; `path` is unchanged.
    """
    save_safetensors(path, tensors, {"facts": json.dumps(dict(facts))})


def save_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file with metadata atomically.

    Raises:
        OSError: the write failed; `path` is unchanged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with atomic_path(path, shared=True) as partial:
        try:
            save_file(contiguous, partial, metadata=metadata)
        except SafetensorError as error:  # raised for a full disk, among others
            raise OSError(str(error)) from error
