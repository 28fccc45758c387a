"""Keys that nothing reads: neither a signature nor an interpolation names them.

Cards keep helper keys beside their `_target_` nodes, such as `optimizer.lr`, which the nodes copy
with `lr: ${..lr}`. A helper without such a copy would have no effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

from gan_runner.config.signature import ConfigTree, Problem
from gan_runner.config.words import suggestion

_INTERPOLATION = re.compile(r"\$\{(.*)\}", re.DOTALL)
_KEY = re.compile(r"\.*\w[\w.]*")
_READ_BY_NAME = (("optimizer", "order"),)
_MAY_BE_NULL = ("metrics", "plots", "schedule", "limits", "averages")  # null leaves a node out
_ELSEWHERE = ("paper_defaults", "study", "allow_targets")
"""Groups that other code reads: constants for several optimizers, and facts about a sweep."""

_Path = tuple[str, ...]
"""The keys that lead to a node; each may have dots of its own."""


def named_keys(*trees: Any) -> set[str]:
    """Return the dotted keys that the interpolations of trees name, such as Hydra's own."""
    return {key for tree in trees for key in _named_keys(tree)}


def unread_keys(raw: ConfigTree, known: Sequence[str], named: set[str]) -> list[Problem]:
    """Return the helper keys of a configuration that no interpolation names.

    Args:
        raw: the composed configuration, with its interpolations as text.
        known: names of the groups and keys of a run.
        named: the keys that interpolations name; see `named_keys`.
    """
    unread: list[_Path] = []
    for group, node in raw.items():
        if group in _ELSEWHERE:
            continue
        if isinstance(node, dict):
            unread += [key for key in _unread(node, (group,), named) if not _is_shared(key, raw)]
        elif group not in known and not _is_named((group,), named):
            unread.append((group,))
    return [(".".join(key), f"no such key{_hint(key, raw, known)}") for key in unread]


def helper_groups(raw: ConfigTree, known: Sequence[str], named: set[str]) -> set[str]:
    """Return the names at the top level that only interpolations read, such as a user's own."""
    return {key.partition(".")[0] for key in named} & {g for g in raw if g not in known}


def _unread(node: Any, path: _Path, named: set[str]) -> Iterator[_Path]:
    """Yield the keys at and below a node that neither a target nor an interpolation reads."""
    if path in _READ_BY_NAME or _is_named(path, named):
        return
    if isinstance(node, dict) and "_target_" in node:
        return
    if isinstance(node, dict) and (node or len(path) == 1):
        for key, child in node.items():
            yield from _unread(child, (*path, key), named)
    elif len(path) > 1 and not (node is None and path[0] in _MAY_BE_NULL):
        yield path


def _is_shared(path: _Path, raw: ConfigTree) -> bool:
    """Return whether a node beside a key has it too: a shared default that every node overrides."""
    *parent, leaf = path
    beside = (child for child in _node(raw, parent).values() if isinstance(child, dict))
    return any("_target_" in child and leaf in child for child in beside)


def _is_named(path: _Path, named: set[str]) -> bool:
    """Return whether an interpolation names a key, one above it, or some key by its beginning."""
    above = (".".join(path[: k + 1]) for k in range(len(path)))
    return any(key in named or f"{key}." in named for key in above)


def _named_keys(node: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the dotted keys in the interpolations of a tree; one that is computed ends in a dot."""
    if isinstance(node, dict):
        for key, child in node.items():
            yield from _named_keys(child, (*path, str(key)))
    elif isinstance(node, list):
        for k, child in enumerate(node):
            yield from _named_keys(child, (*path, str(k)))
    elif isinstance(node, str):
        yield from names_in(node, path)


def names_in(text: str, path: tuple[str, ...]) -> Iterator[str]:
    """Yield the dotted keys in the interpolations of a text; one that is computed ends in a dot.

    Args:
        text: a value of the configuration.
        path: of the value, from which relative names count.
    """
    if match := _INTERPOLATION.search(text):
        for word in _KEY.findall(re.sub(r"\[['\"]?(\w+)['\"]?\]", r".\1", match[1])):
            name = word.lstrip(".")
            dots = len(word) - len(name)
            yield ".".join([*(path[: len(path) - dots] if dots else ()), name])


def _node(raw: ConfigTree, path: Sequence[str]) -> Any:
    return reduce(lambda node, word: node[word], path, raw)


def _hint(path: _Path, raw: ConfigTree, known: Sequence[str]) -> str:
    """Return the nearest key beside or below, a group of that name, or the keys that there are."""
    leaf, parent = path[-1], ".".join(path[:-1])
    if not parent:
        return suggestion(leaf, list(known))
    if leaf in known:
        return f"; did you mean {leaf}?"
    node = _node(raw, path[:-1])
    beside = [str(name) for name in node if name != leaf]
    below = [f"{name}.{k}" for name in beside if isinstance(node[name], dict) for k in node[name]]
    near = suggestion(leaf, [name for name in [*beside, *below] if "_target_" not in name], parent)
    if "did you mean" in near:
        return near
    return (
        f"; nothing reads it; {parent} has {', '.join(beside)}" if beside else "; nothing reads it"
    )
