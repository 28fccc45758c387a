"""The size that interpolations give a configuration, found without resolving them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gan_runner.config.unread import names_in

# a name that begins, goes on or is selected with the value of another: ${${, ${a.${, oc.select:${
_COMPUTED = re.compile(r"\$\{(?:[^}]*[\w.\]])?\$\{|oc\.select:\W*\$\{")
_MOST = 1_000_000  # characters and values of a resolved configuration; that of wgan_gp has 2,079


def check_expansion(raw: Mapping[str, Any]) -> None:
    """Refuse a configuration whose interpolations stand for too much to be resolved.

    Each of n keys that names the one before it twice makes 2^n values of a file of n lines.

    Args:
        raw: the composed configuration, with its interpolations as text.

    Raises:
        ValueError: the first key whose value would be too large.
    """
    texts = dict(_texts(raw))
    sizes: dict[str, int] = {}
    for key in texts:
        if _size(key, texts, sizes) > _MOST:
            raise ValueError(
                f"{key}: its interpolations stand for more than {_MOST:,} characters; name fewer"
                " keys in it"
            )


def _texts(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Return the dotted key and the text of each value."""
    if isinstance(node, Mapping):
        items = node.items()
    elif isinstance(node, list):
        items = dict(enumerate(node)).items()
    else:
        return [(".".join(path), str(node))]
    return [pair for key, child in items for pair in _texts(child, (*path, str(key)))]


def _size(key: str, texts: Mapping[str, str], sizes: dict[str, int]) -> int:
    """Return the size of a value, or more: a computed name may be that of any key."""
    if key not in sizes:
        sizes[key] = 1  # of a circle, which is refused when it is resolved
        size, text = 1 + len(texts[key]), texts[key]
        names = [""] if _COMPUTED.search(text) else names_in(text, tuple(key.split(".")))
        for name in names:
            if size <= _MOST:
                size += sum(_size(k, texts, sizes) for k in texts if _stands_for(name, k))
        sizes[key] = size
    return sizes[key]


def _stands_for(name: str, key: str) -> bool:
    return name in ("", key) or key.startswith(name if name.endswith(".") else f"{name}.")
