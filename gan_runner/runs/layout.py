"""Names of the files of runs, sweeps and studies; checks and removal of run directories."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_runner.runs.files import create_file

CONFIG, SUMMARY = "config.yaml", "summary.json"
COMMAND = "command.json"  # overrides of the command line, as typed
DATA = "data.json"  # rows, hash and classes of the training set
POINTS = "metrics.jsonl"  # points of the curves
PROVENANCE = "provenance.json"  # of each metric
CHECKPOINTS = "checkpoints"
WEIGHTS = "generator.safetensors"  # in a folder of gan-export
JOB, PLAN = "job.json", "sweep.json"  # of a sweep: the status of a job, the jobs asked for
STUDY = "study.json"
_WRITTEN = (
    CONFIG, COMMAND, DATA, POINTS, PROVENANCE, SUMMARY, CHECKPOINTS, "architecture.txt",
    "progress.gif", "samples",
)  # fmt: skip

_CHECKPOINT = re.compile(r"step_([0-9]{8,})\.pt")
_PLOT = re.compile(r"[A-Za-z0-9_-]+")
_kept_folders: tuple[Path, ...] = ()  # folders that a rejected run must keep; see `note_folders`


def check_new(run_dir: Path, names: Sequence[str] = (), *, key: str = "run_dir") -> None:
    """Check that the directory is writable and contains nothing that a run writes.

    Args:
        run_dir: an existing directory.
        names: further files and folders of the run, those of plots and replicas.
        key: name of the directory for the message.

    Raises:
        ValueError: it contains a run, or files or folders of the user's own.
        OSError: it is not writable.
    """
    probe = run_dir / ".writable"
    create_file(probe)
    probe.unlink()
    present = [
        name for name in dict.fromkeys((*_WRITTEN, *names)) if os.path.lexists(run_dir / name)
    ]
    if CONFIG in present and {POINTS, SUMMARY, CHECKPOINTS} & set(present):
        raise ValueError(f"{key}={run_dir}: already contains a run; choose another folder")
    if present:
        problem = f"contains {', '.join(present)}, which a run would write"
        raise ValueError(f"{key}={run_dir}: {problem}; choose another folder")


def checkpoint_path(run_dir: Path, step: int) -> Path:
    """Return the path of the checkpoint of a step."""
    return run_dir / CHECKPOINTS / f"step_{step:08d}.pt"


def checkpoint_steps(run_dir: Path) -> list[int]:
    """Return the steps of the regular checkpoints of a run, in ascending order.

    Other files in the folder, such as a copy with another name, belong to the user.
    """
    names = [path.name for path in (run_dir / CHECKPOINTS).glob("step_*.pt") if path.is_file()]
    steps = [int(match[1]) for name in names if (match := _CHECKPOINT.fullmatch(name))]
    return sorted(step for step in steps if checkpoint_path(run_dir, step).name in names)


def checkpoints(run_dir: Path) -> list[Path]:
    """Return the paths of the regular checkpoints of a run, oldest first."""
    return [checkpoint_path(run_dir, step) for step in checkpoint_steps(run_dir)]


def has_checkpoints(run_dir: Path) -> bool:
    """Return whether a run, or one of its replicas, has a regular checkpoint."""
    return any(checkpoint_steps(folder) for folder in (run_dir, *run_dir.glob("replica_*")))


def check_plot_name(name: str) -> str:
    """Return the name of a plot, which is also the name of its folder in the run directory.

    Raises:
        ValueError: the name is not a word.
    """
    if not _PLOT.fullmatch(name):
        raise ValueError(f"plots.{name}: names a folder; use letters, digits, _ and - alone")
    return name


def note_folders(arguments: Sequence[str]) -> None:
    """Record the folders that exist before Hydra creates the run directory.

    These are the deepest existing folder above the run directory, and the folders in it.
    """
    global _kept_folders
    values = [a.partition("=")[2].strip("'\"") for a in arguments if a.startswith("hydra.run.dir=")]
    fixed, interpolated, _ = (values[-1] if values else "outputs").partition("${")
    path = Path(os.path.abspath(fixed.rpartition("/")[0] if interpolated else fixed))
    deepest = next(folder for folder in (path, *path.parents) if folder.is_dir())
    _kept_folders = (deepest, *(folder for folder in deepest.iterdir() if folder.is_dir()))


def remove_if_empty(run_dir: Path) -> None:
    """Remove the empty directory of a rejected run, and the empty parents created for it."""
    if not _kept_folders:
        return
    path = Path(os.path.abspath(run_dir))
    for folder in (path, *path.parents):
        if folder in _kept_folders or not folder.is_relative_to(_kept_folders[0]):
            return
        try:
            folder.rmdir()
        except OSError:  # not empty, or missing
            return


_OLD_FILES = ("cards.json",)
_OLD_KEYS = {"": ("pictures", "published"), "trainer": ("n_eval", "best_by")}


def check_layout(run_dir: Path, config: Mapping[str, Any]) -> None:
    """Refuse a run directory whose files or keys have the names of an older version.

    Args:
        run_dir: directory of a run or of a job.
        config: the run's configuration, as plain values.

    Raises:
        ValueError: a file or a key has an old name.
    """
    nodes = {group: config if not group else config.get(group) for group in _OLD_KEYS}
    old = [
        f"{group}.{key}".lstrip(".")
        for group, keys in _OLD_KEYS.items()
        for key in keys
        if key in (nodes[group] or {})
    ]
    old += [name for name in _OLD_FILES if (run_dir / name).exists()]
    if old:
        raise ValueError(
            f"{run_dir}: was written by an older version ({old[0]}); train it again with this one"
        )
