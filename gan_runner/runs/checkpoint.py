"""Checkpoints on disk: written atomically, with a checksum; the newest few and the best are kept.

A checkpoint is a `torch.save` file of {"format", "checksum", "state"}. The checksum covers the
contents, not the bytes of the file, so equal checksums mean that two runs are in the same state.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from gan_runner.core import StateDict
from gan_runner.runs.files import atomic_write
from gan_runner.runs.layout import CHECKPOINTS, checkpoint_path, checkpoint_steps, checkpoints
from gan_runner.runs.parse import Shape, mismatch
from gan_runner.runs.torch_files import UnusableTensors, load_tensors
from gan_runner.runs.within import within

_FORMAT = 2
_VOLATILE = ("seconds", "mode")  # may differ between two runs that are equal
_LOGGED = ("health", "meter")  # parts of a state that only the log depends on
_PARTS: Shape = {
    "step!": int, "generator!": dict, "critic!": dict, "average!": dict,
    "generator_optimizer!": dict, "critic_optimizer!": dict, "stream!": dict,
    "random!": dict, "mode!": dict, "shape!": [int], "n_classes!": int, "replicas!": int,
    "meter!": {"*": Tensor}, "health!": dict, "incident": (int, type(None)),
    "averages": {"*": dict},
    "seconds!": {"total!": (int, float), "*": (int, float)},
}  # fmt: skip
"""The parts of a run's checkpoint and their types."""


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


class CorruptCheckpoint(Exception):
    """A checkpoint that cannot be read, or whose contents do not match the checksum."""


def best_path(run_dir: Path) -> Path:
    """Return the path of the best checkpoint."""
    return run_dir / CHECKPOINTS / "best.pt"


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
    """Remove all regular checkpoints but the newest `keep`; other files are the user's.

    Raises:
        ValueError: the folder of checkpoints is a link out of the run directory.
    """
    for old in checkpoints(run_dir)[:-keep]:
        within(run_dir, old).unlink()


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
        with path.open("rb") as file:
            content = load_tensors(file)
        valid = isinstance(content, dict) and content.get("format") == _FORMAT
        matches = valid and checksum(content["state"]) == content["checksum"]
    except UnusableTensors as error:
        raise CorruptCheckpoint(f"{path.name} cannot be read ({error})") from error
    except Exception as error:  # the reader of a stranger's pickle may raise anything
        raise CorruptCheckpoint(f"{path.name} cannot be read ({type(error).__name__})") from error
    if not valid:
        raise CorruptCheckpoint(f"{path.name} is not a checkpoint of this version")
    if not matches:
        raise CorruptCheckpoint(f"{path.name} does not match its checksum")
    if not isinstance(content["state"], dict):
        raise CorruptCheckpoint(f"{path.name} has no state")
    return content["state"]


def load_state(path: Path) -> StateDict:
    """Read the checkpoint of a run as `load_checkpoint` does, with all its parts.

    Raises:
        CorruptCheckpoint: as `load_checkpoint`, or a part is missing or has another type.
    """
    state = load_checkpoint(path)
    if issue := mismatch(state, _PARTS):
        raise CorruptCheckpoint(f"{path.name} has no part of the right type: {issue}")
    if not state["shape"] or min(state["shape"]) < 1:
        raise CorruptCheckpoint(f"{path.name} has samples of no size: shape {state['shape']}")
    return state


def load_latest(run_dirs: Sequence[Path]) -> list[StateDict]:
    """Read each run's checkpoint of the newest step for which all runs have a valid one.

    Warns about each newer checkpoint that is corrupt or lacks a part.

    Raises:
        ValueError: the runs have no such step.
    """
    steps = [set(checkpoint_steps(run_dir)) for run_dir in run_dirs]
    common = sorted(set.intersection(*steps))
    if all(steps) and not common:
        raise ValueError(f"{run_dirs[0].parent}: its replicas have checkpoints of different steps")
    while common:
        step = common.pop()
        try:
            return [load_state(checkpoint_path(run_dir, step)) for run_dir in run_dirs]
        except CorruptCheckpoint as damage:
            if common:
                warnings.warn(f"{run_dirs[0]}: {damage}; using the one before it", stacklevel=2)
    raise ValueError(f"{run_dirs[0]} has no checkpoint that can be read")


@contextmanager
def fits_config(run_dir: Path) -> Iterator[None]:
    """Turn the errors of loading a run's state into one that names config.yaml and the fix.

    Raises:
        ValueError: the state belongs to other networks or optimizers than config.yaml describes.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"{run_dir}: its checkpoint does not fit its config.yaml ({load_problem(error)});"
            " restore the config.yaml that the run was trained with"
        ) from error


def load_problem(error: Exception) -> str:
    """Return the line of an error that names the tensor; torch writes it below a headline."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    line = lines[1] if len(lines) > 1 and lines[0].startswith("Error(s) in loading") else lines[0]
    return f"missing part {line}" if isinstance(error, KeyError) else line.rstrip(".")


def checksum(state: StateDict) -> str:
    """Return the SHA-256 of the names, types, shapes and bytes of all entries of a state."""
    digest = hashlib.sha256()
    _absorb(digest, state)
    return digest.hexdigest()


def fingerprint(state: StateDict) -> str:
    """Return the checksum of a state without timings and execution mode, which may differ."""
    return checksum({key: value for key, value in state.items() if key not in _VOLATILE})


def differences(ours: Any, theirs: Any, prefix: str = "") -> list[str]:
    """Return the dotted names of the entries in which two states differ, bit for bit.

    Versions may differ in the tags that they log and in what health remembers: there, an entry that
    only one state has is not a difference.
    """
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        keys = [k for k in {**ours, **theirs} if not (prefix == "" and k in _VOLATILE)]
        if prefix in _LOGGED:
            keys = [key for key in keys if key in ours and key in theirs]
        nested = [
            differences(ours.get(k), theirs.get(k), f"{prefix}.{k}" if prefix else str(k))
            for k in keys
        ]
        return [name for names in nested for name in names]
    return [] if checksum({"": ours}) == checksum({"": theirs}) else [prefix]


def _check_storage(tensor: Tensor) -> None:
    """Refuse a tensor of more elements than its file holds, which a copy would write out.

    Raises:
        ValueError: the tensor repeats its elements, or is not strided.
    """
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError("a tensor repeats its elements")


def _absorb(digest: _Hash, value: Any) -> None:
    """Feed a value to a hash; each part's type and length delimit it from the next part."""
    if isinstance(value, Tensor):
        _check_storage(value)
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
