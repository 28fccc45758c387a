"""Suggestions for keys that a configuration does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from gan_runner.config.paths import quoted_path
from gan_runner.config.words import key_of, suggestion, value_of

_HAVE = ("has", "have")
_PACKAGE = re.compile(r"^# @package (\S+)", re.MULTILINE)


def key_hint(key: str, arguments: Sequence[str], folders: Sequence[Path]) -> str:
    """Suggest a key: nearest sibling, same leaf name elsewhere, else all valid keys.

    Args:
        key: dotted key that does not exist.
        arguments: of the command line, whose choices of groups count.
        folders: of the groups, that of this package first.
    """
    top = _groups_and_keys(folders)
    if options_of(folders, key):  # a group that the defaults list leaves out
        typed = [value_of(a) for a in arguments if a.startswith(f"{key}=")]
        return f" to override; add an option with a plus: +{key}={(typed or ['OPTION'])[0]}"
    if "." not in key and (near := _near(key, top)):  # without composing a configuration
        return near
    keys, choices = _known_keys(arguments, folders)
    if key in keys:
        return " in the configuration that it is set in"
    if same := [k for k in keys if k.replace(".", "_") == key.replace(".", "_")]:
        return f"; did you mean {same[0]}?"
    parent, _, leaf = key.rpartition(".")
    if parent and (near := _near(leaf, _below(parent, keys), parent)):
        return near
    return _of_group(key, keys, choices, folders) or _elsewhere(key, keys, top, folders)


def is_key(key: str, arguments: Sequence[str], folders: Sequence[Path]) -> bool:
    """Return whether a word is a group or a key of the configuration."""
    return key in _groups_and_keys(folders) or key in _known_keys(arguments, folders)[0]


def _elsewhere(key: str, keys: Sequence[str], top: Sequence[str], folders: Sequence[Path]) -> str:
    """Suggest another option of the group, a key of the same leaf name, or those beside it."""
    parent, _, leaf = key.rpartition(".")
    if any(leaf in _keys_of(folders, parent, option) for option in options_of(folders, parent)):
        return _beside(parent, leaf, keys, folders)
    if alike := [k for k in keys if k.endswith(f".{leaf}")]:
        return _near(key, alike) or f"; did you mean {' or '.join(alike[:3])}?"
    while parent and not _below(parent, keys):
        parent, _, leaf = parent.rpartition(".")
    if parent:
        return _beside(parent, leaf, keys, folders)
    first = key.partition(".")[0]
    near = first not in top and _near(first, top) and _near(key, keys)
    return near or f"; choose one of: {', '.join(top)}"


def _beside(parent: str, leaf: str, keys: Sequence[str], folders: Sequence[Path]) -> str:
    """Return the keys below one, and the options of a group that have the one that is missing."""
    having = [o for o in options_of(folders, parent) if leaf in _keys_of(folders, parent, o)]
    others = f", but {parent}={' and '.join(having)} {_HAVE[len(having) > 1]} {leaf}"
    return f"; {parent} has {', '.join(_below(parent, keys))}{others if having else ''}"


def _of_group(
    key: str, keys: Sequence[str], choices: Mapping[str, str], folders: Sequence[Path]
) -> str:
    """Suggest a key where the first word is a group without keys of that name; "" elsewhere."""
    group, _, rest = key.partition(".")
    leaf = rest.partition(".")[0]
    if not rest or _below(group, keys):
        return ""
    if not options_of(folders, group):
        adding = [name for name in _added(folders) if group in _places(folders, name)]
        return f"; {group} has no keys; add some with +{adding[0]}=OPTION" if adding else ""
    option = choices.get(group)
    if group == "experiment":
        return "; an experiment sets keys of other groups; write theirs, such as trainer.steps"
    if option is None:
        names = ", ".join(options_of(folders, group))
        return f"; add an option of {group} with a plus: +{group}=OPTION, one of: {names}"
    place = _place(folders, group, option)
    if f"{place}.{rest}" in keys:
        return f"; did you mean {place}.{rest}?"
    if place != group and (below := _below(place, keys)):
        return _near(rest, below, place) or f"; {group}={option} has its keys in {place}: " + (
            ", ".join(below)
        )
    having = [o for o in options_of(folders, group) if leaf in _keys_of(folders, group, o)]
    advice = f", such as {group}={having[0]}" if having else ""
    return f"; {group}={option} has no keys; choose another option of {group}{advice}"


def _place(folders: Sequence[Path], group: str, option: str) -> str:
    """Return the node that an option fills, by the `@package` of its card."""
    match = _PACKAGE.search(_card(folders, group, option).read_text(encoding="utf-8-sig"))
    return group if match is None or match[1] == "_global_" else match[1]


def _places(folders: Sequence[Path], group: str) -> set[str]:
    """Return the first words of the nodes that the options of a group fill."""
    options = options_of(folders, group)
    return {_place(folders, group, option).partition(".")[0] for option in options}


def _added(folders: Sequence[Path]) -> Iterator[str]:
    """Yield the groups that the defaults list leaves out."""
    listed = groups_listed(folders)
    yield from (name for name in _groups(folders) if name not in listed)


def groups_listed(folders: Sequence[Path]) -> list[str]:
    """Return the groups in the defaults list of this package, which every run has."""
    entries = OmegaConf.load(folders[0] / "config.yaml").defaults
    names = [str(name) for entry in entries if not isinstance(entry, str) for name in entry]
    return [name for name in names if name.isidentifier()]


def _near(word: str, keys: Sequence[str], prefix: str = "") -> str:
    """Return `; did you mean X?` with the nearest valid key; empty where no key is near."""
    hint = suggestion(word, keys, prefix)
    return hint if "did you mean" in hint else ""


def _below(parent: str, keys: Sequence[str]) -> list[str]:
    """Return the names of the keys directly below one."""
    pairs = (key.rpartition(".") for key in keys)
    return [leaf for above, _, leaf in pairs if above == parent and not leaf.startswith("_")]


def _card(folders: Sequence[Path], group: str, option: str) -> Path:
    files = (folder / group / f"{option}.yaml" for folder in folders)
    return next(file for file in files if file.is_file())


def _keys_of(folders: Sequence[Path], group: str, option: str) -> set[str]:
    """Return the top-level keys of an option's file."""
    return set(map(str, OmegaConf.load(_card(folders, group, option))))


def _groups(folders: Sequence[Path]) -> list[str]:
    return sorted({p.name for folder in folders for p in folder.iterdir() if p.is_dir()})


def _groups_and_keys(folders: Sequence[Path]) -> list[str]:
    """Return the top-level groups and keys of a configuration, without composing one."""
    keys = [str(key) for key in OmegaConf.load(folders[0] / "config.yaml")]
    return sorted({*_groups(folders), *keys} - {"defaults", "hydra"})


def _known_keys(
    arguments: Sequence[str], folders: Sequence[Path]
) -> tuple[list[str], dict[str, str]]:
    """Return all keys that the command line's choices of groups compose, and all choices."""
    chosen = [a for a in arguments if value_of(a) in options_of(folders, key_of(a))]
    GlobalHydra.instance().clear()
    search = [f"hydra.searchpath=['file://{quoted_path(folder)}']" for folder in folders[1:]]
    with initialize_config_dir(str(folders[0]), version_base="1.3"):
        cfg = compose("config", overrides=[*search, *chosen], return_hydra_config=True)
    choices = {str(group): str(option) for group, option in cfg.hydra.runtime.choices.items()}
    tree: Any = OmegaConf.to_container(cfg, resolve=False)
    del tree["hydra"]
    if "penalty" not in choices:
        tree.pop("penalty", None)  # of cards that set it for others to interpolate
    tree.pop("paper_defaults", None)
    return _flatten(tree), {g: o for g, o in choices.items() if o != "None"}


def options_of(folders: Sequence[Path], group: str) -> list[str]:
    """Return the options of a group; empty if the group does not exist."""
    if not group.isidentifier():
        return []
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def _flatten(tree: Any, prefix: str = "") -> list[str]:
    keys = []
    for key, value in tree.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        keys += [path, *(_flatten(value, path) if isinstance(value, dict) else [])]
    return keys
