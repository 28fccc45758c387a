"""Checkpoints on disk: whole or not there, with a checksum inside, the last few and the best.

A checkpoint is what `torch.save` makes of {"format", "checksum", "state"}. The checksum is of the
contents, not of the bytes of the file, so it also tells whether two runs are in the same state.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from gan_runner.core import StateDict
from gan_runner.runs.files import atomic_write

_FORMAT = 2
_VOLATILE = ("seconds", "mode")  # may differ between two runs that are equal


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


class CorruptCheckpoint(Exception):
    """A checkpoint that cannot be read, or whose contents are not what was written."""


def checkpoint_path(run_dir: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return run_dir / "checkpoints" / f"step_{step:08d}.pt"


def best_path(run_dir: Path) -> Path:
    """Where the best checkpoint lies."""
    return run_dir / "checkpoints" / "best.pt"


def checkpoints(run_dir: Path) -> list[Path]:
    """The regular checkpoints of a run, oldest first."""
    return sorted((run_dir / "checkpoints").glob("step_*.pt"))


def save_checkpoint(path: Path, state: StateDict) -> None:
    """Write a checkpoint: to a temporary file, flushed to the disk, then renamed.

    Args:
        path: holds, at any instant, all of it or what it held before.
        state: nested dictionaries and lists of tensors and plain values.
    """
    content = io.BytesIO()
    torch.save({"format": _FORMAT, "checksum": checksum(state), "state": _own(state)}, content)
    atomic_write(path, content.getvalue())


def prune(run_dir: Path, *, keep: int) -> None:
    """Remove all regular checkpoints but the newest `keep`."""
    for old in checkpoints(run_dir)[:-keep]:
        old.unlink()


def _own(value: Any) -> Any:
    """A state whose tensors own their memory: of a view, torch would save all that it views."""
    if isinstance(value, Tensor):
        whole = value.untyped_storage().nbytes() == value.numel() * value.element_size()
        return value if whole else value.clone()
    if isinstance(value, Mapping):
        return {key: _own(item) for key, item in value.items()}
    return type(value)(map(_own, value)) if isinstance(value, list | tuple) else value


def load_checkpoint(path: Path) -> StateDict:
    """Read a checkpoint: plain values and tensors, on the CPU; nothing is executed.

    Raises:
        CorruptCheckpoint: with the reason.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise CorruptCheckpoint(f"{path.name} cannot be read ({type(error).__name__})") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CorruptCheckpoint(f"{path.name} is not a checkpoint of this version")
    if checksum(content["state"]) != content["checksum"]:
        raise CorruptCheckpoint(f"{path.name} does not match its checksum")
    return content["state"]


def load_latest(run_dirs: Sequence[Path]) -> list[StateDict]:
    """The newest step of which every one of some runs has a whole checkpoint: those checkpoints.

    Warns of each newer one that is damaged.

    Raises:
        ValueError: there is none.
    """
    names = [{path.name for path in checkpoints(run_dir)} for run_dir in run_dirs]
    common = sorted(set.intersection(*names))
    if all(names) and not common:
        raise ValueError(f"{run_dirs[0].parent}: its replicas have checkpoints of different steps")
    while common:
        name = common.pop()
        try:
            return [load_checkpoint(run_dir / "checkpoints" / name) for run_dir in run_dirs]
        except CorruptCheckpoint as damage:
            if common:
                warnings.warn(f"{run_dirs[0]}: {damage}; using the one before it", stacklevel=2)
    raise ValueError(f"{run_dirs[0]} has no checkpoint that can be read")


def checksum(state: StateDict) -> str:
    """SHA-256 of names, types, shapes and bytes of everything in a state."""
    digest = hashlib.sha256()
    _absorb(digest, state)
    return digest.hexdigest()


def fingerprint(state: StateDict) -> str:
    """The checksum of what training depends on and results in: all of a state but its timings."""
    return checksum({key: value for key, value in state.items() if key not in _VOLATILE})


def differences(ours: Any, theirs: Any, at: str = "") -> list[str]:
    """Names of the entries in which two states differ, bit for bit."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        keys = [k for k in {**ours, **theirs} if not (at == "" and k in _VOLATILE)]
        found = [
            differences(ours.get(k), theirs.get(k), f"{at}.{k}" if at else str(k)) for k in keys
        ]
        return [name for names in found for name in names]
    return [] if checksum({"": ours}) == checksum({"": theirs}) else [at]


def _absorb(digest: _Hash, value: Any) -> None:
    """Feed a value to a hash, each part with its kind and length: none runs into another."""
    if isinstance(value, Tensor):
        array = value.detach().cpu().contiguous()
        _absorb(digest, [str(array.dtype), list(array.shape)])
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, Mapping):
        digest.update(b"map" + struct.pack("<q", len(value)))
        for key, item in value.items():
            _absorb(digest, key)
            _absorb(digest, item)
    elif isinstance(value, list | tuple):
        digest.update(b"list" + struct.pack("<q", len(value)))
        for item in value:
            _absorb(digest, item)
    else:
        text = f"{type(value).__name__}:{value!r}".encode()
        digest.update(struct.pack("<q", len(text)) + text)
