"""The one door for values: all that a file or a command line may say.

A tree that passed holds plain values alone, so that later checks see what later code uses: nothing
turns into text, a list or a target after it was looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

MOST_VALUES = 200_000  # in one tree; an alias of YAML may stand for any number of values
DEEPEST = 60  # nested lists and mappings

_WORDS: Mapping[type, str] = {bytes: "binary data", set: "a set", tuple: "a tuple"}


def plain(tree: Any, *, key: str = "", keep: Collection[str] = ()) -> Any:
    """Return a copy of a tree of text, numbers, booleans, null, lists and mappings with text keys.

    Args:
        tree: the values, nested to any depth.
        key: dotted key of the tree, for messages.
        keep: interpolations that may stay, such as "${seed}".

    Raises:
        ValueError: another type, an interpolation that is left, or too many or too deep values; the
            message names the key.
    """
    return _Copy(keep).of(tree, key, depth=0)


class _Copy:
    """A copy under way, which counts its values."""

    def __init__(self, keep: Collection[str]) -> None:
        self.keep, self.count = keep, 0

    def of(self, value: Any, key: str, *, depth: int) -> Any:
        self.count += 1
        if self.count > MOST_VALUES:
            raise ValueError(f"the configuration has more than {MOST_VALUES:,} values")
        if depth > DEEPEST:
            raise ValueError(f"{key[:80]}...: is nested more than {DEEPEST} deep")
        if value is None or type(value) in (bool, int, float):
            return value
        if type(value) is str:
            return self._text(value, key)
        if type(value) is list:
            return [self.of(v, f"{key}[{i}]", depth=depth + 1) for i, v in enumerate(value)]
        if type(value) is dict:
            return {
                self._name(k, key): self.of(v, f"{key}.{k}".lstrip("."), depth=depth + 1)
                for k, v in value.items()
            }
        raise ValueError(f"{key}: {_allowed(value)}")

    def _text(self, value: str, key: str) -> str:
        if "${" in value and value not in self.keep:
            raise ValueError(
                f"{key}={value[:80]}: is an interpolation, which could name any target;"
                " write the value itself"
            )
        return value

    def _name(self, name: Any, key: str) -> str:
        if type(name) is not str:
            raise ValueError(f"{key or 'the configuration'}: the key {name!r} should be text")
        if "${" in name:
            raise ValueError(f"{key}.{name}: a key cannot be an interpolation".lstrip("."))
        return name


def _allowed(value: Any) -> str:
    kind = _WORDS.get(type(value), type(value).__name__)
    return f"should be text, a number, true, false, null, a list or a mapping, not {kind}"
