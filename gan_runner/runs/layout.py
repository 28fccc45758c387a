"""Checks of a run directory's layout, and removal of the folders of a rejected run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_were_here: tuple[Path, ...] = ()  # folders that a rejected run must keep; see `note_folders`


def check_new(run_dir: Path) -> None:
    """Check that the directory, which Hydra has created, is writable and contains no run.

    Raises:
        ValueError: it contains a run.
        OSError: it is not writable.
    """
    probe = run_dir / ".writable"
    probe.touch()
    probe.unlink()
    if (run_dir / "config.yaml").exists():
        raise ValueError(f"{run_dir} already contains a run; set hydra.run.dir to another folder")


def note_folders(arguments: Sequence[str]) -> None:
    """Record the folders that exist before Hydra creates the run directory.

    These are the deepest existing folder above the run directory, and the folders in it.
    """
    global _were_here
    values = [a.partition("=")[2].strip("'\"") for a in arguments if a.startswith("hydra.run.dir=")]
    fixed, interpolated, _ = (values[-1] if values else "outputs").partition("${")
    path = Path(os.path.abspath(fixed.rpartition("/")[0] if interpolated else fixed))
    deepest = next(folder for folder in (path, *path.parents) if folder.is_dir())
    _were_here = (deepest, *(folder for folder in deepest.iterdir() if folder.is_dir()))


def remove_if_empty(run_dir: Path) -> None:
    """Remove the empty directory of a rejected run, and the empty parents created for it."""
    path = Path(os.path.abspath(run_dir))
    for folder in (path, *path.parents):
        if folder in _were_here or not (_were_here and folder.is_relative_to(_were_here[0])):
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
