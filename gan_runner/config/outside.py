"""Checks of configuration files outside of this package, as Hydra loads them.

Hydra obeys its own keys wherever they stand: `hydra.callbacks` imports and calls,
`hydra.job.env_set` sets variables, `hydra.run.dir` names folders. They count from this package and
the command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from gan_runner.config.own_files import own_faults
from gan_runner.private_hydra import LoadedFile
from gan_runner.runs.parse import TooLarge, parse_yaml
from gan_runner.runs.printable import printable

_TRUSTED = ("pkg://hydra.", "pkg://hydra_plugins.", "structured://")
_MAX_BYTES = 1 << 20
_NOT_FROM_FILES = ("hydra", "allow_targets")


def check_contents(path: str, home: str) -> None:
    """Refuse a file outside of this package that Hydra could not read in little time and memory.

    OmegaConf copies what an anchor stands for at each alias, so that a short file may become large.

    Args:
        path: of the file; one in a package is passed over.
        home: folder of this package's configuration.

    Raises:
        ConfigCompositionException: the file is a pipe or a device, is large, or becomes large.
    """
    file = Path(path)
    if path.startswith(f"{home}/") or not file.exists():
        return
    if not file.is_file():
        raise ConfigCompositionException(f"{path}: is not a regular file")
    if file.stat().st_size > _MAX_BYTES:
        raise ConfigCompositionException(f"{path}: has more than {_MAX_BYTES:,} bytes")
    try:
        parse_yaml(file.read_text(encoding="utf-8", errors="replace"))
    except TooLarge as error:
        raise ConfigCompositionException(printable(f"{path}: {error}")) from error
    except ValueError:  # Hydra says what is wrong
        return


def is_small_file(path: Path) -> bool:
    """Return True for a regular file of at most the size that is read as configuration."""
    return path.is_file() and path.stat().st_size <= _MAX_BYTES


def check_file(file: LoadedFile, home: str) -> None:
    """Refuse a file outside of this package that sets a key of Hydra's, or has a fault.

    Keys for `hydra.sweeper.params` may stay, because they only list values of the keys of a run.

    Args:
        file: as Hydra loaded it, before it is composed.
        home: folder of this package's configuration.

    Raises:
        ConfigCompositionException: with the words for the command line.
    """
    folder = file.source.removeprefix("file://")
    if folder == home or file.source.startswith(_TRUSTED):
        return
    path = f"{folder}/{file.path.removesuffix('.yaml')}.yaml"
    for key, advice in _faults(file):
        raise ConfigCompositionException(f"{path}: {key} {advice}")
    if not Path(path).is_file():  # in a package
        return
    groups = [each.name for each in Path(home).iterdir() if each.is_dir()]
    for fault in own_faults(
        Path(path),
        file.content,
        group=file.path.rpartition("/")[0],
        package=file.package,
        groups=[*groups, "paper_defaults"],
    ):
        raise ConfigCompositionException(fault)


def is_own_key(key: str) -> bool:
    """Return True for a key or group of a run; False for Hydra's and for `allow_targets`."""
    words = [word for word in re.split(r"[./@]", key.strip().lstrip("+~")) if word]
    return bool(words) and not set(words) & set(_NOT_FROM_FILES) and "${" not in key


def _faults(file: LoadedFile) -> Iterator[tuple[str, str]]:
    """Yield each key that the file may not set, and what to do instead."""
    if not is_own_key(file.path):
        yield "hydra", "groups count from the command line alone; name their values there"
    if file.package and "hydra" in re.split(r"[.@]", file.package):
        yield f"@package {file.package}", "is refused; put its keys on the command line"
    for text in file.defaults:
        if not is_own_key(text) or ".." in text:
            yield f"defaults: {text}", "is refused; put it on the command line"
    content = file.content if isinstance(file.content, Mapping) else {}
    if "hydra" in content:
        yield from _hydra_faults(content["hydra"])


def _hydra_faults(node: Any) -> Iterator[tuple[str, str]]:
    advice = "counts from the command line alone; write it there"
    tree = OmegaConf.to_container(OmegaConf.create({"hydra": node}), resolve=False)
    for key in _leaves(tree["hydra"] if isinstance(tree, dict) else None, ["hydra"]):
        if key[:3] != ["hydra", "sweeper", "params"]:
            yield ".".join(key), advice
        elif not all(is_own_key(word) for word in key[3:]):
            yield f"hydra.sweeper.params: {key[3]}", advice


def _leaves(node: Any, path: list[str]) -> Iterator[list[str]]:
    """Yield the path of each value below a node; below `hydra.sweeper.params`, of each key."""
    if isinstance(node, dict) and len(path) < 4:
        for key, child in node.items():
            yield from _leaves(child, [*path, str(key)])
    else:
        yield path
