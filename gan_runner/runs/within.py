"""Paths that stay inside a directory, whatever links lie in it.

A run directory or a sweep may come from a stranger, and archives and checkouts keep links. Every
write and every removal passes `within`; every read passes `Folder`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def within(run_dir: Path, path: Path) -> Path:
    """Return a path that is to be written or removed, if its folder lies in the run directory.

    The last part of `path` may be a link: a rename replaces it and a removal removes it.

    Raises:
        ValueError: a link leads out of the run directory.
    """
    if not _resolved(path.parent).is_relative_to(_resolved(run_dir)):
        raise ValueError(f"{path.parent}: leads out of {run_dir}; remove the link")
    return path


def check_folders(run_dir: Path, names: Iterable[str]) -> None:
    """Check the folders of a run directory, existing or not, before anything is written.

    Raises:
        ValueError: one of them is a link that leads out of the run directory.
    """
    for name in names:
        within(run_dir, run_dir / name / "file")


class Folder:
    """A directory to read from; its paths never lead outside.

    Args:
        root: directory; it may itself be a link.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, relative: str | Path) -> Path:
        """Return a path below the directory.

        Raises:
            ValueError: the path or a link in it leads out of the directory.
        """
        path = self.root / relative
        if not _resolved(path).is_relative_to(_resolved(self.root)):
            raise ValueError(f"{path}: leads out of {self.root}; remove the link or the path")
        return path

    def find(self, relative: str | Path) -> Path | None:
        """Return a path as `path` does; None where it leads out of the directory."""
        try:
            return self.path(relative)
        except ValueError:
            return None

    def glob(self, pattern: str) -> tuple[list[Path], list[Path]]:
        """Return the matching paths inside, sorted, and those that links lead out."""
        paths = sorted(self.root.glob(pattern))
        inside = [path for path in paths if self.find(path.relative_to(self.root)) is not None]
        return inside, [path for path in paths if path not in set(inside)]


def _resolved(path: Path) -> Path:
    """Resolve all links.

    Raises:
        ValueError: the path has a loop of links or a null character.
    """
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be resolved ({type(error).__name__})") from error
