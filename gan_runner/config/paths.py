"""Relative paths of a configuration, which mean the folder where the run was started."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from gan_runner.runs.files import expanded

MACHINE_KEYS = ("device", "dataset.root", "dataset.cache", "dataset.download")
"""Keys that say where a run computes and where files lie, not what is computed."""

MOVABLE_KEYS = (*MACHINE_KEYS, "dataset.path")
"""Keys that may follow a run to another machine, if the data's contents stay the same."""

_DEFAULT = "~/.cache/gan_runner"  # of `dataset.cache` and `dataset.root`
_GROUPS = ("dataset", "metrics")
PATH_KEYS = ("path", "root", "cache", "weights")
"""Keys of this package's data sets and metrics that name a file or a folder."""


def anchored(text: str, start: str | Path) -> str:
    """Return a configuration to be saved, with absolute paths that outlive the command's folder.

    A path that begins with `~` stays as it is. In a node of another package, a key is a path only
    if it names an existing file or folder.

    Args:
        text: the configuration as YAML.
        start: folder where the command was started.
    """
    tree = yaml.safe_load(text)
    moved = {key: _moved(tree[key], Path(start), own=True) for key in _GROUPS if key in tree}
    changed = any(moved[key] != tree[key] for key in moved)
    return yaml.safe_dump({**tree, **moved}, sort_keys=False) if changed else text


def with_own_places(config: dict[str, Any], typed: Collection[str] = ()) -> dict[str, Any]:
    """Return a saved configuration that names no folder to write into but the defaults.

    It may come from a stranger: the cache of decoded images is the default one, and nothing is
    downloaded into another folder than the default `root`. Only the command line moves either.

    Args:
        config: the configuration of a run.
        typed: keys that the command line sets.
    """
    moved = {"dataset.root", "dataset.download"}.intersection(typed)
    if "dataset" not in config:
        return dict(config)
    return {**config, "dataset": _own_places(config["dataset"], bool(moved))}


def _own_places(tree: Any, may_download: bool) -> Any:
    if isinstance(tree, list):
        return [_own_places(child, may_download) for child in tree]
    if not isinstance(tree, dict):
        return tree
    own = {key: _own_places(child, may_download) for key, child in tree.items()}
    if own.get("cache") is not None and not _is_default(own["cache"], "GAN_RUNNER_CACHE"):
        own["cache"] = os.environ.get("GAN_RUNNER_CACHE") or _DEFAULT
    elsewhere = "root" in own and not _is_default(own["root"], "GAN_RUNNER_DATA")
    if "download" in own and elsewhere and not may_download:
        own["download"] = False
    return own


def _is_default(place: Any, variable: str) -> bool:
    """Return whether a saved value is what the configuration has on this machine."""
    default = os.environ.get(variable) or _DEFAULT
    return place == default or (isinstance(place, str) and expanded(place) == expanded(default))


def absolute(key: str, value: Any, start: str | Path) -> Any:
    """Return the value of a dotted key; that of a path is absolute."""
    if key.rpartition(".")[2] not in PATH_KEYS or not isinstance(value, str) or not value:
        return value
    whole = os.path.normpath(Path(start) / value)
    return value if value.startswith("~") or "${" in whole else whole


def _moved(tree: Any, start: Path, *, own: bool) -> Any:
    if not isinstance(tree, dict):
        return tree
    own = str(tree.get("_target_", "gan_runner." if own else "")).startswith("gan_runner.")
    moved = {}
    for key, child in tree.items():
        path = absolute(str(key), child, start)
        is_path = own or (isinstance(path, str) and os.path.exists(path))
        moved[key] = path if path != child and is_path else _moved(child, start, own=own)
    return moved


def quoted_path(folder: str | Path) -> str:
    """Return the absolute path of a folder for single quotes in an override."""
    return str(Path(folder).absolute()).replace("\\", "\\\\").replace("'", "\\'")
