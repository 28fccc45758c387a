"""The directory of a new run: that it is one, and that a refused run leaves none behind."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_were_here: tuple[Path, ...] = ()  # what a refused run must not take away; see `note_folders`


def check_new(run_dir: Path) -> None:
    """Hydra has made the directory; see that it can be written to and that it holds no run.

    Raises:
        ValueError: it holds one.
        OSError: it cannot be written to.
    """
    probe = run_dir / ".writable"
    probe.touch()
    probe.unlink()
    if (run_dir / "config.yaml").exists():
        raise ValueError(f"{run_dir} holds a run already; name another with hydra.run.dir=FOLDER")


def note_folders(arguments: Sequence[str]) -> None:
    """Before Hydra makes the run directory: the deepest known folder above it, and those in it."""
    global _were_here
    given = [a.partition("=")[2].strip("'\"") for a in arguments if a.startswith("hydra.run.dir=")]
    known, interpolated, _ = (given[-1] if given else "outputs").partition("${")
    path = Path(os.path.abspath(known.rpartition("/")[0] if interpolated else known))
    deepest = next(folder for folder in (path, *path.parents) if folder.is_dir())
    _were_here = (deepest, *(folder for folder in deepest.iterdir() if folder.is_dir()))


def remove_if_empty(run_dir: Path) -> None:
    """A refused run leaves nothing behind: not its directory, nor those made on the way to it."""
    path = Path(os.path.abspath(run_dir))
    for folder in (path, *path.parents):
        if folder in _were_here or not (_were_here and folder.is_relative_to(_were_here[0])):
            return
        try:
            folder.rmdir()
        except OSError:  # not empty, or not there
            return


_OLD_FILES = ("cards.json",)
_OLD_KEYS = {"": ("pictures", "published"), "trainer": ("n_eval", "best_by")}


def check_layout(run_dir: Path, config: Mapping[str, Any]) -> None:
    """Refuse a run directory whose files or keys have the names of an older version.

    Args:
        run_dir: directory of a run or of a job.
        config: its configuration, as plain values.

    Raises:
        ValueError: something in it has an old name.
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
