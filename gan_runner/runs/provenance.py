"""Versions of the packages and the git commit that a run uses."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("gan_runner", "torchvision", "numpy", "hydra-core", "scikit-learn")


def versions() -> dict[str, Any]:
    """Return the versions of Python and of packages that affect results, and the git commit.

    The process has imported one version of each, so they are looked up once.
    """
    return dict(_versions())


@cache
def _versions() -> dict[str, Any]:
    import torch  # takes seconds, and `--version` does not need it

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,  # includes the CUDA version of the build
        **{name: _version(name) for name in _PACKAGES},
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(status)
        if (status := _git("status", "--porcelain")) is not None
        else None,
    }


def version_line() -> str:
    """Return the version of this package, and the commit where it runs from a checkout."""
    commit = _git("rev-parse", "--short", "HEAD")
    return f"gan_runner {_version('gan_runner')}" + (f" (commit {commit})" if commit else "")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return None


def _git(*arguments: str) -> str | None:
    """Return the output of a git command in this file's checkout; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
