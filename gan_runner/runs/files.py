"""Writing files so that a crash, a kill or a full disk leaves the old one or the new one, whole.

And files of tensors, whose names say what is in them: the cache.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from torch import Tensor


def atomic_write(path: Path, data: bytes, *, shared: bool = False) -> None:
    """Write to a temporary file beside `path`, flush it to the disk, then rename it.

    Args:
        path: of the file.
        data: all of it.
        shared: whether several processes may write this file; the last one counts.

    Raises:
        OSError: nothing has changed at `path`.
    """
    with atomic_path(path, shared=shared) as partial, partial.open("wb") as file:
        file.write(data)


@contextmanager
def atomic_path(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """A temporary path to write to, which becomes `path` at the end, flushed to the disk.

    What one process alone writes has one temporary name, so that what a kill leaves is written
    over by the next attempt. What is shared has a name of its own each time.

    Args:
        path: untouched if anything is raised.
        shared: whether several processes may write this file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    own = f".{uuid4().hex[:8]}" if shared else ""
    partial = path.with_name(f"{path.name}{own}.partial")
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
    except BaseException:
        if shared:
            partial.unlink(missing_ok=True)
        raise
    _flush(path.parent)


def _flush(path: Path) -> None:
    """Make writes, or a folder's renames, survive a power cut, where the system lets us."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cache_folder() -> Path:
    """Where results that take long are kept: GAN_RUNNER_CACHE, or ~/.cache/gan_runner."""
    return Path(os.environ.get("GAN_RUNNER_CACHE") or "~/.cache/gan_runner").expanduser()


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
