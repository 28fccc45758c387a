"""Files of tensors with facts about them: caches, and exported weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_runner.runs.files import atomic_path


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors by name and the facts in a file; None if it is not there or not whole.

    The file is mapped into memory: what is never touched is never read.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, json.loads(file.metadata()["facts"])
    except (SafetensorError, OSError, KeyError, ValueError, TypeError):
        return None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and facts that JSON can hold; several processes may write the same file.

    Raises:
        OSError: nothing has changed at `path`.
    """
    save_safetensors(path, tensors, {"facts": json.dumps(dict(facts))})


def save_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file with its metadata, whole or not at all.

    Raises:
        OSError: nothing has changed at `path`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with atomic_path(path, shared=True) as partial:
        try:
            save_file(contiguous, partial, metadata=metadata)
        except SafetensorError as error:  # its own kind for a full disk, for one
            raise OSError(str(error)) from error
