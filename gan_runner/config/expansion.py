"""The size that interpolations give a configuration, found without resolving them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# a name as such: ${a.b}, ${.b}, oc.select:a.b
_NAME = re.compile(r"(?:\$\{|oc\.[\w.]{1,20}:)([^${},:]*)[},]")
_MOST = 1_000_000  # characters and values of one key when resolved; those of wgan_gp have 2,079
_MOST_IN_ALL = 10 * _MOST

Path = tuple[str, ...]


def check_expansion(raw: Mapping[str, Any]) -> None:
    """Refuse a configuration whose interpolations stand for too much to be resolved.

    Each of n keys that names the one before it twice makes 2^n values of a file of n lines.

    Args:
        raw: the composed configuration, with its interpolations as text.

    Raises:
        ValueError: the first key whose value would be too large.
    """
    tree, total = _Tree(raw), 0
    for path in tree.leaves:
        try:
            total += tree.size(path)
        except RecursionError:
            total = _MOST_IN_ALL + 1
        if total > _MOST_IN_ALL:
            _refuse(path)


def _refuse(path: Path) -> None:
    raise ValueError(
        f"{'.'.join(path)}: its interpolations stand for more than {_MOST:,} characters; name"
        " fewer keys in it"
    )


class _Tree:
    """The nodes of a configuration by their paths.

    Attributes:
        leaves: the text of each value.
        children: the paths of the nodes below each mapping and list.
    """

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.leaves: dict[Path, str] = {}
        self.children: dict[Path, list[Path]] = {}
        self._sizes: dict[Path, int] = {}
        self._add(raw, ())

    def _add(self, node: Any, path: Path) -> None:
        if not isinstance(node, Mapping | list):
            self.leaves[path] = str(node)
            return
        items = node.items() if isinstance(node, Mapping) else enumerate(node)
        below = {(*path, str(key)): child for key, child in items}
        self.children[path] = list(below)
        for place, child in below.items():
            self._add(child, place)

    def size(self, path: Path) -> int:
        """Return the size of a node, or more: a computed name may be that of any value."""
        if path not in self._sizes:
            self._sizes[path] = 1  # of a circle, which is refused when it is resolved
            size = 1 + len(self.leaves.get(path, ""))
            for other in self._inside(path):
                size += self.size(other)
                if size > _MOST and path in self.leaves:
                    _refuse(path)
            self._sizes[path] = size
        return self._sizes[path]

    def _inside(self, path: Path) -> Iterator[Path]:
        """Yield the nodes that the value of another one contains."""
        if path not in self.leaves:
            yield from self.children[path]
        elif _has_computed_name(text := self.leaves[path].replace("${hydra:", "${hydra.")):
            yield from self.leaves
        else:
            names = (_absolute(name, path) for name in _NAME.findall(text))
            yield from (name for name in names if name in self.leaves or name in self.children)


def _has_computed_name(text: str) -> bool:
    """Return whether a name begins, goes on or is selected with another's value: ${a_${b}}."""
    text = text.replace("oc.env:", "")  # it names no key
    if "oc." in text and ("'" in text or '"' in text):
        return True
    for part in text.split("}"):
        for piece in part.split("${")[1:-1]:  # each lies between two open braces
            selects = "oc." in piece and "," not in piece
            if ":" not in piece or selects or re.match(r"[\w.\]]", piece[-1]):
                return True
    return False


def _absolute(name: str, path: Path) -> Path:
    """Return the path of a name that may be relative to the value at a path."""
    name = name.strip(" \t\n'\"")
    words = tuple(word for word in re.split(r"[.\[\]]+", name) if word)
    dots = len(name) - len(name.lstrip("."))
    return (*(path[: len(path) - dots] if dots else ()), *words)
