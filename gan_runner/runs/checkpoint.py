"""Checkpoints on disk: written atomically, with a checksum; the newest few and the best are kept.

A checkpoint is a `torch.save` file of {"format", "checksum", "state"}. The checksum covers the
contents, not the bytes of the file, so equal checksums mean that two runs are in the same state.
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
    """A checkpoint that cannot be read, or whose contents do not match the checksum."""


def checkpoint_path(run_dir: Path, step: int) -> Path:
    """Return the path of the checkpoint of a step."""
    return run_dir / "checkpoints" / f"step_{step:08d}.pt"


def best_path(run_dir: Path) -> Path:
    """Return the path of the best checkpoint."""
    return run_dir / "checkpoints" / "best.pt"


def checkpoints(run_dir: Path) -> list[Path]:
    """Return the paths of the regular checkpoints of a run, oldest first."""
    return sorted((run_dir / "checkpoints").glob("step_*.pt"))


def save_checkpoint(path: Path, state: StateDict) -> None:
    """Write a checkpoint: to a temporary file, flushed to the disk, then renamed.

    Args:
        path: file to replace atomically; a crash leaves the old contents or the new ones.
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
    """Clone views: `torch.save` would write their whole storage."""
    if isinstance(value, Tensor):
        whole = value.untyped_storage().nbytes() == value.numel() * value.element_size()
        return value if whole else value.clone()
    if isinstance(value, Mapping):
        return {key: _own(item) for key, item in value.items()}
    return type(value)(map(_own, value)) if isinstance(value, list | tuple) else value


def load_checkpoint(path: Path) -> StateDict:
    """Read plain values and tensors onto the CPU, without executing code from the file.

    Raises:
        CorruptCheckpoint: the file cannot be read, has another format, or fails its checksum.
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
    """Read each run's checkpoint of the newest step for which all runs have a valid one.

    Warns about each newer checkpoint that is corrupt.

    Raises:
        ValueError: the runs have no such step.
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
    """Return the SHA-256 of the names, types, shapes and bytes of all entries of a state."""
    digest = hashlib.sha256()
    _absorb(digest, state)
    return digest.hexdigest()


def fingerprint(state: StateDict) -> str:
    """Return the checksum of a state without timings and execution mode, which may differ."""
    return checksum({key: value for key, value in state.items() if key not in _VOLATILE})


def differences(ours: Any, theirs: Any, prefix: str = "") -> list[str]:
    """Return the dotted names of the entries in which two states differ, bit for bit."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        keys = [k for k in {**ours, **theirs} if not (prefix == "" and k in _VOLATILE)]
        nested = [
            differences(ours.get(k), theirs.get(k), f"{prefix}.{k}" if prefix else str(k))
            for k in keys
        ]
        return [name for names in nested for name in names]
    return [] if checksum({"": ours}) == checksum({"": theirs}) else [prefix]


def _absorb(digest: _Hash, value: Any) -> None:
    """Feed a value to a hash; each part's type and length delimit it from the next part."""
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
