"""A three-way merge of configurations, for a run that is repeated with changes."""

from __future__ import annotations

from typing import Any

_ABSENT = object()


def merged(saved: Any, base: Any, typed: Any) -> Any:
    """Return the saved values, except where the command line changes them.

    The merge is that of two versions with a common ancestor. A value that `typed` changes with
    respect to `base` is the command line's; every other value is the saved one.

    Args:
        saved: configuration of the run that is repeated.
        base: composed from the saved choices of groups alone.
        typed: composed from the same choices and the command line.
    """
    if typed == base:
        return saved
    trees = (saved, base, typed)
    if not all(isinstance(tree, dict) for tree in trees) or len(set(map(_target, trees))) > 1:
        return typed
    keys = dict.fromkeys(key for tree in (saved, typed) for key in tree)
    values = {key: merged(*(tree.get(key, _ABSENT) for tree in trees)) for key in keys}
    return {key: value for key, value in values.items() if value is not _ABSENT}


def _target(node: dict[str, Any]) -> Any:
    """Return the target of a node; nodes of different targets have different keys."""
    return node.get("_target_")
