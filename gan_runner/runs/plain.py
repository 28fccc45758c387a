"""Configurations of untrusted files as plain values, the only ones that later checks look at.

A tree that passed holds text, numbers, booleans, null, lists and mappings alone: nothing turns into
text, a list or a target after it was checked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gan_runner.runs.parse import MOST_VALUES, check_size

_LIMIT = 1 << 63  # of whole numbers; larger ones cannot become floats, or be printed in no time

_WORDS: Mapping[type, str] = {bytes: "binary data", set: "a set", tuple: "a tuple"}


def plain(tree: Any, *, key: str = "", keep: Collection[str] = ()) -> Any:
    """Return a copy of a tree of text, numbers, booleans, null, lists and mappings with text keys.

    Args:
        tree: the values; at most as deep and as many as `parse.check_size` allows of YAML.
        key: dotted key of the tree, for messages.
        keep: interpolations that may stay, such as "${seed}".

    Raises:
        ValueError: another type, a whole number of more than 64 bits, or an interpolation that is
            left: the message names the key; or too many or too deep values.
    """
    check_size(tree, MOST_VALUES)
    return _copied(tree, key, keep)


def _copied(value: Any, key: str, keep: Collection[str]) -> Any:
    if type(value) is int and not -_LIMIT <= value < _LIMIT:
        raise ValueError(f"{key}: is a whole number of more than 64 bits; write a smaller one")
    if value is None or type(value) in (bool, int, float):
        return value
    if type(value) is str:
        return _text(value, key, keep)
    if type(value) is list:
        return [_copied(item, f"{key}[{i}]", keep) for i, item in enumerate(value)]
    if type(value) is dict:
        return {
            _name(name, key): _copied(item, f"{key}.{name}".lstrip("."), keep)
            for name, item in value.items()
        }
    raise ValueError(f"{key}: {_allowed(value)}")


def _text(value: str, key: str, keep: Collection[str]) -> str:
    if "${" in value and value not in keep:
        raise ValueError(
            f"{key}={value[:80]}: is an interpolation, which could name any target;"
            " write the value itself"
        )
    return value


def _name(name: Any, key: str) -> str:
    if type(name) is not str:
        raise ValueError(f"{key or 'the configuration'}: the key {name!r} should be text")
    if "${" in name:
        raise ValueError(f"{key}.{name}: a key cannot be an interpolation".lstrip("."))
    return name


def _allowed(value: Any) -> str:
    kind = _WORDS.get(type(value), type(value).__name__)
    return f"should be text, a number, true, false, null, a list or a mapping, not {kind}"
